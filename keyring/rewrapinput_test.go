package keyring_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestRewrapFromNothing gives Rewrap KMSs that are none.
func TestRewrapFromNothing(t *testing.T) {
	f, to, move, _ := rewrapWorld(t)
	mover, err := keyring.Open(t.Context(), move)
	require.NoError(t, err)
	defer mover.Close()
	before, _ := f.store.Snapshot()
	for text, from := range map[string][]keyring.KMS{"holds nil": {f.kms, nil}, "without a URI": {&keyringtest.KMS{}}} {
		_, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{From: from})
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, err, "rewrap test")
	}
	after, _ := f.store.Snapshot()
	require.Equal(t, before, after)
	require.Zero(t, to.Wraps())
}

// TestRewrapOfVanishedRoot deletes a root while others are rewrapped.
func TestRewrapOfVanishedRoot(t *testing.T) {
	f, to, move, _ := rewrapWorld(t)
	mover, err := keyring.Open(t.Context(), move)
	require.NoError(t, err)
	defer mover.Close()
	roots, _ := f.store.Snapshot()
	to.SetHook(func(context.Context, string) ([]byte, error) {
		f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) { *roots = (*roots)[:3] })
		return nil, nil
	})
	report, err := mover.Rewrap(t.Context(), keyring.RewrapOptions{From: []keyring.KMS{f.kms}})
	aboutKey(t, err, roots[3].ID, keyring.ErrTampered)
	require.ErrorContains(t, err, "gone")
	require.Len(t, report.Roots, 4)
	require.Equal(t, roots[3].ID, report.Roots[3].ID)
	require.Equal(t, roots[3].Purpose, report.Roots[3].Purpose)
	for _, r := range report.Roots[:3] {
		require.NoError(t, r.Err)
	}
}
