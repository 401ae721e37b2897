package fpe

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestScratchIsWiped: nothing of a value stays when the text became shorter.
func TestScratchIsWiped(t *testing.T) {
	f, err := Parse("int:-99999999..99999999")
	require.NoError(t, err)
	s := &scratch{}
	s.take([]byte("-12345678"), Reject)
	s.text = f.interval.append(s.text[:0], 5)
	s.release()
	require.Equal(t, make([]byte, cap(s.text)), s.text[:cap(s.text)])
}
