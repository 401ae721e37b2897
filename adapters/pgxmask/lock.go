package pgxmask

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/sealfield/sealfield/mask"
)

// policyDigest is of all that the policy says, whatever it is written in.
func policyDigest(policy *mask.Policy, masks map[string]*mask.Table) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", policy.Epoch, policy.Check)
	for _, name := range slices.Sorted(maps.Keys(masks)) {
		m := masks[name]
		fmt.Fprintf(h, "%q %q %q\n", name, m.Skip(), m.Subject())
		for _, c := range m.Columns() {
			rule, keep, _ := m.Rule(c)
			text := ""
			if rule != nil {
				text = rule.String()
			}
			fmt.Fprintf(h, "%q %q %q\n", c, text, keep)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
