package pgxmask

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

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

const lockHeader = "sealfield pgxmask lock 1"

// Lock returns a fingerprint of what the plan was made from: text, of which every line is
// about one column, constraint or piece of the schema, to be kept beside the policy
// and held against by Changes in CI. It does not depend on rows, OIDs or the order
// in which objects were made, but on PostgreSQL's major version where that writes
// definitions differently. It holds no value: whatever may have one is a digest.
func (p *Plan) Lock() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\npolicy: sha256 %s\nkeys: %s\n", lockHeader, p.digest, p.check)
	for _, s := range p.schemas {
		fmt.Fprintf(&b, "schema %s: selected\n", lockName(s))
	}
	for _, s := range p.skipped {
		fmt.Fprintf(&b, "%s %s: left out\n", s.kind, lockName(s.table))
	}
	for _, a := range p.accepted {
		fmt.Fprintf(&b, "accepted %s %s: sha256 %s\n", a.finding.Kind, lockName(a.finding.Where()), lockDigest(a.reason))
	}
	tables := slices.SortedFunc(slices.Values(p.tables), func(a, b *table) int { return strings.Compare(a.title(), b.title()) })
	for _, t := range tables {
		fmt.Fprintf(&b, "\n%s %s\n", relationKinds[string(t.kind)], lockName(t.title()))
		for _, line := range t.lockLines() {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		for _, r := range p.references {
			if r.table == t.title() {
				fmt.Fprintf(&b, "  reference %s: (%s) to %s (%s)\n", cmp.Or(lockName(r.name), "virtual"), lockNames(r.columns), lockName(r.target), lockNames(r.targetColumns))
			}
		}
	}
	b.WriteString("\ntext\n")
	for _, t := range p.texts {
		fmt.Fprintf(&b, "  %s: sha256 %s\n", lockName(t.title()), lockDigest(t.Text))
	}
	return b.Bytes()
}

func (t *table) lockLines() (lines []string) {
	line := func(kind, name, format string, args ...any) {
		lines = append(lines, fmt.Sprintf(kind+" "+lockName(name)+": "+format, args...))
	}
	if t.subject != "" {
		line("subject", t.subject, "of rows")
	}
	if t.where != "" {
		line("rows", t.name, "sha256 %s", lockDigest(t.where))
	}
	for _, c := range t.columns {
		a := t.relation.attribute(c.name)
		text := c.typ
		if c.notNull {
			text += " not null"
		}
		if a.Identity != "" {
			text += " identity"
		}
		if c.sealed.typ != "" {
			text += ", sealed " + c.sealed.typ
		}
		if len(c.sealed.of) > 0 {
			line("column", c.name, "%s, made anew with %s", text, lockNames(c.sealed.of))
		} else if c.rule == nil {
			line("column", c.name, "%s, kept", text)
		} else {
			line("column", c.name, "%s, %s", text, c.rule)
		}
	}
	for _, c := range t.generated {
		line("column", c.name, "%s, generated", c.typ)
	}
	for _, r := range append([]*relation{t.relation}, t.relation.partitions()...) {
		if r != t.relation {
			line("partition", r.title(), "of kind %s", r.Kind)
		}
		for _, x := range r.indexes {
			line("index", x.Name, "sha256 %s", lockDigest(x.Definition))
		}
		for _, k := range slices.Concat(r.checks, r.exclusions) {
			line("constraint", k.Name, "sha256 %s", lockDigest(k.Definition))
		}
	}
	return lines
}

// partitions returns those of a table, and theirs, by name.
func (r *relation) partitions() (all []*relation) {
	if r.Kind != "p" {
		return nil
	}
	for _, child := range r.children {
		all = append(append(all, child), child.partitions()...)
	}
	return all
}

func lockDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

var lockPlain = regexp.MustCompile(`^[\pL\pN_.$ ()"-]*$`)

// lockName writes a name so that it is on one line and has no colon.
func lockName(s string) string {
	if lockPlain.MatchString(s) {
		return s
	}
	return strings.ReplaceAll(strconv.QuoteToGraphic(s), ":", `\x3a`)
}

func lockNames(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = lockName(n)
	}
	return strings.Join(all, ", ")
}

// Changes compares the plan with a lock and says what differs, one line for each thing;
// nothing if nothing does. It fails for what is no lock.
func (p *Plan) Changes(lock []byte) ([]string, error) {
	before, err := parseLock(lock)
	if err != nil {
		return nil, err
	}
	after, err := parseLock(p.Lock())
	if err != nil {
		return nil, err
	}
	var changes []string
	for _, key := range slices.Sorted(maps.Keys(merged(before, after))) {
		old, was := before[key]
		now, is := after[key]
		switch {
		case !was:
			changes = append(changes, strings.TrimSuffix(fmt.Sprintf("new: %s: %s", key, now), ": "))
		case !is:
			changes = append(changes, strings.TrimSuffix(fmt.Sprintf("gone: %s: %s", key, old), ": "))
		case old != now:
			changes = append(changes, fmt.Sprintf("changed: %s: %s, before %s", key, now, old))
		}
	}
	return changes, nil
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// parseLock returns the lines of a lock by what they are about.
func parseLock(lock []byte) (map[string]string, error) {
	lines := strings.Split(strings.ReplaceAll(string(lock), "\r\n", "\n"), "\n")
	if lines[0] != lockHeader {
		return nil, fmt.Errorf("pgxmask: this is no lock that begins with %q", lockHeader)
	}
	all := map[string]string{}
	section := ""
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case key == "":
			continue
		case strings.HasPrefix(line, "  "):
			key = section + ": " + key
		default:
			section = key
		}
		if before, twice := all[key]; twice {
			value = before + ", " + value
		}
		all[key] = value
	}
	return all, nil
}
