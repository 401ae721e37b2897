package pgxfield

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestScratchStaysSmall: one very long value must not be memory, and work of
// clearing it, for all rows after it.
func TestScratchStaysSmall(t *testing.T) {
	s := getScratch()
	long := make([]byte, maxScratch+1)
	s.plain, s.text, s.bytea, s.rowKey = long, long, long, long
	s.release()
	for _, b := range [][]byte{s.plain, s.text, s.bytea, s.rowKey} {
		require.LessOrEqual(t, cap(b), maxScratch)
	}
}
