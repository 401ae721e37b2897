package pae_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pae"
)

func TestEncode(t *testing.T) {
	require.Equal(t, "\x00\x00\x00\x00", string(pae.Encode[string]()))
	require.Equal(t, "\x00\x00\x00\x02\x00\x00\x00\x02ab\x00\x00\x00\x00", string(pae.Encode("ab", "")))
	require.Equal(t, "x\x00\x00\x00\x01\x00\x00\x00\x01y", string(pae.Append([]byte("x"), []byte("y"))))
}

// FuzzInjective decodes what Encode wrote, and so proves that nothing else has
// the same encoding.
func FuzzInjective(f *testing.F) {
	f.Add("ab", "c", "")
	f.Add("a", "bc", "\x00\x00\x00\x01")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		rest := pae.Encode(a, b, c)
		number := func() int {
			n := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
			rest = rest[4:]
			return n
		}
		require.Equal(t, 3, number())
		for _, want := range []string{a, b, c} {
			n := number()
			require.Equal(t, want, string(rest[:n]))
			rest = rest[n:]
		}
		require.Empty(t, rest)
	})
}
