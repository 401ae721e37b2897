package ff1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLongTextIsNotKept: a text that is too long is refused before it is copied
// into the memory that calls share.
func TestLongTextIsNotKept(t *testing.T) {
	c, err := New(make([]byte, 16), 10)
	require.NoError(t, err)
	a, err := NewAlphabet("0123456789")
	require.NoError(t, err)
	s := c.states.New().(*state)
	c.states.New = func() any { return s }
	_, err = c.EncryptString(a, strings.Repeat("7", 1<<20), nil)
	require.ErrorIs(t, err, ErrTooLong)
	require.Zero(t, cap(s.text))
}
