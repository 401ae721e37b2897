package main

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestRotation runs the program, whose steps fail if something is not as they
// say, and looks for what an operator should see.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) { require.NoError(t, run(t.Context(), &out), out.String()) })
	text := out.String()
	for _, line := range []string{
		`3 calls of the KMS in all`,
		`version 2  key [0-9a-f]{8}  pending`,
		`> level=INFO msg="sealfield: key added" process=worker keyring=shop .* version=2 activates=`,
		`> level=INFO msg="sealfield: key encrypts from now on" process=worker .* version=2`,
		`a process that starts now can not:
     crypto: encrypt field customers.email: keyring: shop: purpose encryption, key [0-9a-f]{8} under [0-9a-f]{8}: root key: KMS local:[0-9a-f]{16}: unavailable: connection refused`,
		`> level=WARN msg="sealfield: KMS failed" process=web-1 keyring=shop kms=local:[0-9a-f]{16} purpose=encryption key=[0-9a-f]{8} error="unavailable: connection refused"`,
		`EncryptGrace has ended after [23]\.\d s:
     \S+: crypto: encrypt field customers.email: keyring: shop: purpose encryption, key [0-9a-f]{8}: the keys are stale: root key: a KMS last gave it 3s ago \(root key: KMS local:[0-9a-f]{16}: unavailable: connection refused\)`,
		`all values still open`,
		`DecryptGrace has ended after [56]\.\d s:`,
		`Health of web-1: (not ready: keyring: shop: the keys are stale: purposes \[encryption\]|ready)
     KMS KMS-1 failed \d+ times: unavailable: connection refused`,
		`> level=INFO msg="sealfield: keys are fresh again" process=web-1`,
		`masking     \+1 -0  wrapped by KMS-1 and KMS-2`,
		`masking     \+0 -1  wrapped by KMS-2\n`,
		`reads all \d+ values from before the move`,
		`Everything above was checked.`,
	} {
		require.Regexp(t, line, text)
	}
	require.NotContains(t, text, "ann@example.com")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
