package pgxstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/leaktest"
	"github.com/sealfield/sealfield/internal/pgtest"
)

// TestNoPasswordIsPrinted prints both stores in every way. The server of the tests
// trusts every password.
func TestNoPasswordIsPrinted(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	config.Password = "qzxkvwjprbtgymhcndlfsaue"
	s := migrated(t, config, Config{})
	v, err := NewVaultStore(t.Context(), config, VaultConfig{})
	require.NoError(t, err)
	t.Cleanup(v.Close)
	leaktest.Check(t, map[string][]byte{"password": []byte(config.Password)}, map[string]any{"store": s, "vault store": v})
}
