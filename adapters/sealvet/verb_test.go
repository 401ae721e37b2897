package sealvet

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorder notes the verbs that package fmt prints an argument under.
type recorder struct {
	arg   int
	verbs map[int][]verb
}

func (r recorder) Format(f fmt.State, letter rune) {
	r.verbs[r.arg] = append(r.verbs[r.arg], verb{letter, f.Flag('#')})
}

// TestVerbs holds parseVerbs against package fmt.
func TestVerbs(t *testing.T) {
	for _, format := range []string{
		"", "none", "%", "100%", "%v", "%v %s", "%+v%#v%q", "%d%%%d", "%#x % x", "%-8s|%08d|%6.2f",
		"%[2]v %[1]v", "%[1]v %[1]#v", "%[1]s%s", "%*d", "%.*f %v", "%[3]*.[2]*[1]f", "%w", "%é %v", "%[0]v", "%[x]v", "%!",
	} {
		want := make(map[int][]verb)
		var args []any
		for i := range 4 {
			args = append(args, recorder{i, want})
		}
		_ = fmt.Sprintf(format, args...)
		got := parseVerbs(format)
		for i := range args {
			if len(want[i]) == 0 {
				continue
			}
			if len(got[i]) == 0 { // fmt prints what is too much, too
				got[i] = []verb{plainVerb}
			}
			require.Equal(t, want[i], got[i], "argument %d of %q", i, format)
		}
	}
}
