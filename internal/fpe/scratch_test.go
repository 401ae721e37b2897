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

// TestScratchDoesNotGrow: what grows leaves parts of a value behind, where nothing
// wipes them. One allocation each is for the value with and without separators, and
// one for the scratch; the race detector adds two. Growing takes four for each.
func TestScratchDoesNotGrow(t *testing.T) {
	value := []byte("4111 1111 1111 1111 1111 1111 1111 1111 1111 1111 1111 1111")
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		s := &scratch{}
		s.take(value, Drop)
		s.text = s.spread(s.text)
	}), 5.0)
}
