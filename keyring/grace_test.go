package keyring_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestGraceOfAnOutage begins outages at each moment between two times at which
// the root keys are asked for: what is left of the graces then is what Config
// says, neither less nor more.
func TestGraceOfAnOutage(t *testing.T) {
	shortest := map[bool]time.Duration{true: 100 * time.Hour, false: 100 * time.Hour} // by "decrypt"
	longest := map[bool]time.Duration{}
	for begin := 2 * time.Hour; begin < 2*time.Hour+32*minute; begin += 5 * minute {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture()
			kr := f.create(t)
			k := use(kr, keyring.Encryption)
			id := k.mustEncrypt(t, "")
			time.Sleep(begin)
			f.kms.SetHook(down)
			outage := time.Now()
			for _, decrypt := range []bool{false, true} {
				ended(t, func() error {
					if decrypt {
						return k.decrypt("", id)
					}
					_, err := k.encrypt("")
					return err
				})
				shortest[decrypt], longest[decrypt] = min(shortest[decrypt], time.Since(outage)), max(longest[decrypt], time.Since(outage))
			}
		})
	}
	t.Logf("encryption survives an outage for %v to %v, decryption for %v to %v", shortest[false], longest[false], shortest[true], longest[true])
	slack := 2 * minute // of the round of upkeep
	require.Greater(t, shortest[false], 30*minute-slack)
	require.Less(t, longest[false], time.Hour+slack)
	require.Greater(t, longest[false], 45*minute)
	require.Greater(t, shortest[true], 23*time.Hour+30*minute-slack)
	require.Less(t, longest[true], 24*time.Hour+slack)
}

// ended sleeps until works fails with ErrStale.
func ended(t *testing.T, works func() error) {
	for range 25 * 60 {
		if err := works(); err != nil {
			require.ErrorIs(t, err, keyring.ErrStale)
			return
		}
		time.Sleep(minute)
	}
	t.Fatal("the grace does not end")
}
