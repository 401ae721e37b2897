package keyring_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestRefreshWithinGrace refuses an interval of refreshes at which keys would go
// stale although nothing fails.
func TestRefreshWithinGrace(t *testing.T) {
	for name, change := range map[string]func(*keyring.Config){
		"EncryptGrace": func(c *keyring.Config) { c.RefreshEvery = 31 * minute },
		"DecryptGrace": func(c *keyring.Config) {
			c.RefreshEvery, c.EncryptGrace, c.DecryptGrace = 31*minute, 4*time.Hour, time.Hour
		},
	} {
		f := newFixture()
		f.cfg.PropagationDelay = 4 * time.Hour
		change(&f.cfg)
		_, err := keyring.Create(t.Context(), f.cfg)
		require.ErrorContains(t, err, "Config.RefreshEvery of 31m0s is more than half of the "+name+" of 1h0m0s")
		f.cfg.RefreshEvery = 30 * minute
		f.create(t)
		f.cfg.RefreshEvery = 31 * minute
		_, err = keyring.Open(t.Context(), f.cfg)
		require.ErrorContains(t, err, name)
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.PropagationDelay, f.cfg.RefreshEvery = 4*time.Hour, 30*minute
		k := use(f.create(t), keyring.Encryption)
		for range 24 * 60 {
			k.mustEncrypt(t, "")
			time.Sleep(minute)
		}
	})
}
