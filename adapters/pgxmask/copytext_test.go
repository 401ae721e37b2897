package pgxmask

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// textBytes are what COPY text gives a meaning to, what differs from that in one bit, and
// others.
var textBytes = []byte("\t\t\t\\\\\b\f\n\r\v\x00\x08\x0b\x1f !\x5d\x7f\x80\x88\x89\x8a\x9f\xa0\xdc\xff019azNN")

// randomText draws one in rare bytes of textBytes, and letters else.
func randomText(random *rand.Rand, n, rare int) []byte {
	v := bytes.Repeat([]byte("x"), n)
	for i := range v {
		if random.IntN(rare) == 0 {
			v[i] = textBytes[random.IntN(len(textBytes))]
		}
	}
	return v
}

// TestSplitText compares the fields of lines of all lengths with those that package bytes
// finds.
func TestSplitText(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		line := randomText(random, random.IntN(40), 1+random.IntN(10))
		want := bytes.Split(line, []byte{separator})
		fields := make([][]byte, len(want))
		escaped, err := splitText(fields, line)
		require.NoError(t, err)
		require.Equal(t, bytes.IndexByte(line, '\\') >= 0, escaped, "%q", line)
		for i := range want {
			require.Equal(t, string(want[i]), string(fields[i]), "field %d of %q", i, line)
			require.Equal(t, len(fields[i]), cap(fields[i]))
		}
		for _, n := range []int{len(want) - 1, len(want) + 1} {
			if n > 0 || len(line) > 0 {
				_, err := splitText(make([][]byte, n), line)
				require.ErrorIs(t, err, errColumns, "%d fields of %q", n, line)
			}
		}
	}
}

// TestAppendText escapes values of all lengths as a table of bytes says.
func TestAppendText(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		value := randomText(random, random.IntN(40), 1+random.IntN(50))
		want := []byte("before")
		for _, b := range value {
			if escapes[b] != 0 {
				want = append(want, '\\', escapes[b])
			} else {
				want = append(want, b)
			}
		}
		out := appendText([]byte("before"), value)
		require.Equal(t, string(want), string(out), "%q", value)
		back, _ := decodeText(nil, out[len("before"):])
		require.Equal(t, string(value), string(back))
	}
	require.Equal(t, null, string(appendText(nil, nil)))
}
