package keyring_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestManyRefusalsAreOneShortError lets a refresh refuse the rows of 1,100 scopes
// for one cause: a KMS that is down when all are under a new root key, or rows
// that are edited.
func TestManyRefusalsAreOneShortError(t *testing.T) {
	const scopes = 1100 // more than one load
	for name, c := range map[string]struct {
		edit func(roots *[]keyring.Root, keys *[]keyring.Key)
		want error
		here int // of Health.Refused
	}{
		"KMS down": {func(roots *[]keyring.Root, keys *[]keyring.Key) {
			r := (*roots)[0]
			r.ID, r.Version = 0x80000009, 2
			*roots = append(*roots, r)
			for i := range *keys {
				(*keys)[i].Root, (*keys)[i].Revision = r.ID, 2
			}
		}, keyring.ErrUnavailable, 0},
		"edited": {func(_ *[]keyring.Root, keys *[]keyring.Key) {
			for i := range *keys {
				(*keys)[i].Wrapped[20] ^= 1
			}
		}, keyring.ErrTampered, 101},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture()
				f.cfg.Scoped = true
				kr := f.create(t)
				for i := range scopes {
					use(kr, keyring.Encryption).mustEncrypt(t, fmt.Sprint(i))
				}
				time.Sleep(time.Second)
				f.store.Edit(c.edit)
				f.kms.SetHook(down)
				err := kr.Refresh(t.Context())
				require.ErrorIs(t, err, c.want)
				var about *keyring.KeyError
				require.ErrorAs(t, err, &about)
				require.Less(t, len(err.Error()), 10_000)
				require.Equal(t, 20, strings.Count(err.Error(), "purpose encryption"), "the first few")
				require.ErrorContains(t, err, fmt.Sprintf("and %d more", scopes-20))
				h := kr.Health()
				require.Contains(t, h.RefreshError, fmt.Sprintf("and %d more", scopes-20))
				require.Len(t, h.Refused, c.here)
				if c.here > 0 {
					require.Equal(t, fmt.Sprintf("and %d more", scopes-100), h.Refused[100])
				}
				data, err := json.Marshal(h)
				require.NoError(t, err)
				require.Less(t, len(data), 40_000)
			})
		})
	}
}
