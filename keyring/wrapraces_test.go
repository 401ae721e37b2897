package keyring_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestWrapsUnderRaces has processes heal, rewrap, rotate root keys and rotate keys
// at the same time, while one of two KMSs comes and goes: no wrap gets lost, and in
// the end each KMS alone opens every key.
func TestWrapsUnderRaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		second := f.addKMS()
		f.cfg.AllowMissingWraps = true
		krs := []*keyring.Keyring{f.create(t)}
		for range 5 {
			krs = append(krs, f.open(t))
		}
		ids := make(map[keyring.KeyID]bool)
		ids[use(krs[0], keyring.Encryption).mustEncrypt(t, "")] = true
		var rotated, added, rewrapped int
		for round := range 30 {
			if round%2 == 0 {
				second.SetHook(down)
			} else {
				second.SetHook(nil)
			}
			kept := make([]keyring.KeyID, len(krs))
			done := make([]bool, len(krs))
			race(len(krs), func(i int) {
				time.Sleep(time.Duration(i%3*(round%3)) * time.Second)
				var err error
				switch i {
				case 0, 1:
					var r keyring.RootRotation
					r, err = krs[i].RotateRoot(background, keyring.Encryption)
					done[i] = r.Added
				case 2, 3:
					_, err = krs[i].Rewrap(background, keyring.RewrapOptions{})
					done[i] = err == nil
				default:
					kept[i], err = krs[i].Rotate(background, encryption, keyring.RotateOptions{Immediate: true})
				}
				if err != nil && !errors.Is(err, keyring.ErrUnavailable) {
					t.Error(err)
				}
			})
			for i, id := range kept {
				if id != 0 {
					ids[id] = true
					rotated++
				}
				if done[i] && i < 2 {
					added++
				} else if done[i] {
					rewrapped++
				}
			}
			time.Sleep(5 * minute)
		}
		second.SetHook(nil)
		time.Sleep(30 * minute)
		for _, kr := range krs {
			require.Zero(t, missing(kr))
		}
		roots, _ := f.store.Snapshot()
		for _, r := range roots {
			require.Len(t, r.Wraps, 2, "one of each KMS")
			require.NotEqual(t, r.Wraps[0].URI, r.Wraps[1].URI)
		}
		for _, kms := range []*keyringtest.KMS{f.kms, second} {
			alone := f.cfg
			alone.KMS = []keyring.KMS{kms}
			kr, err := keyring.Open(t.Context(), alone)
			require.NoError(t, err)
			for id := range ids {
				require.NoError(t, use(kr, keyring.Encryption).decrypt("", id))
			}
			require.NoError(t, kr.Close())
		}
		require.NotContains(t, f.log.String(), "level=ERROR")
		t.Logf("%d root keys added, %d rewraps, %d rotations, %d root keys", added, rewrapped, rotated, len(roots))
		require.Greater(t, added, 5)
		require.Greater(t, rewrapped, 5)
	})
}
