package token_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

func newIndexOf(t testing.TB, kr *keyring.Keyring, name string, cfg token.IndexConfig) *token.Index {
	x, err := token.NewIndex(kr, name, cfg)
	require.NoError(t, err)
	return x
}

// finds reports whether a row with these tags is a candidate of the search.
func finds(q *token.Query, tags [][]byte) bool {
	return slices.ContainsFunc(q.Sets, func(set [][]byte) bool {
		return !slices.ContainsFunc(set, func(tag []byte) bool { return !contains(tags, tag) })
	})
}

// TestKindsFind has each kind look for random texts among random values of a
// small alphabet, and compares with what strings finds.
func TestKindsFind(t *testing.T) {
	ctx := t.Context()
	rnd := rand.New(rand.NewPCG(1, 2))
	kr := keyringtest.NewKeyring(t)
	alphabet := []string{"a", "b", "\u00e9", "\U0001F600", " "}
	word := func(n int) string {
		var b strings.Builder
		for range rnd.IntN(n + 1) {
			b.WriteString(alphabet[rnd.IntN(len(alphabet))])
		}
		return b.String()
	}
	for _, c := range []struct {
		cfg  token.IndexConfig
		want func(s, part string) bool
	}{
		{token.IndexConfig{Kind: token.Prefix, Min: 1, Max: 3}, strings.HasPrefix},
		{token.IndexConfig{Kind: token.Prefix, Normalizer: token.NFKCFold}, strings.HasPrefix},
		{token.IndexConfig{Kind: token.Suffix, Min: 2, Max: 4}, strings.HasSuffix},
		{token.IndexConfig{Kind: token.NGram}, strings.Contains},
		{token.IndexConfig{Bits: 3}, func(s, part string) bool { return s == part }},
		{token.IndexConfig{}, func(s, part string) bool { return s == part }},
	} {
		x := newIndexOf(t, kr, "f", c.cfg)
		normal := func(s string) string {
			b, err := x.Config().Normalizer.Append(nil, []byte(s))
			require.NoError(t, err)
			return string(b)
		}
		matched, candidates := 0, 0
		for range 300 {
			query := word(6)
			q, err := x.Query(derive.Access{}, ctx, []byte(query), "")
			if err != nil {
				require.ErrorIs(t, err, token.ErrQuery)
				continue
			}
			exact, err := x.Match(ctx, []byte(query), "")
			if q.Lossy {
				require.ErrorIs(t, err, token.ErrLossy)
			} else {
				require.NoError(t, err)
			}
			for range 20 {
				value := word(10)
				if rnd.IntN(2) == 0 {
					value = query + value
				}
				tags := tagsOf(t, x, value)
				require.True(t, slices.IsSortedFunc(tags, bytes.Compare))
				want := c.want(normal(value), normal(query))
				holds, err := q.Holds([]byte(value))
				require.NoError(t, err)
				require.Equal(t, want, holds)
				found := len(q.Sets) > 0 && finds(q, tags)
				if want && len(q.Sets) > 0 {
					require.True(t, found, "%q in %q", query, value)
					matched++
				}
				if found {
					candidates++
				}
				if !q.Lossy && len(q.Sets) > 0 {
					require.Equal(t, want, found)
					require.Equal(t, want, slices.ContainsFunc(exact, func(tag []byte) bool { return contains(tags, tag) }))
				}
			}
		}
		require.Greater(t, matched, 100)
		require.GreaterOrEqual(t, candidates, matched)
	}
}

func tagsOf(t testing.TB, x *token.Index, value string) [][]byte {
	if x.Config().Kind != token.Exact {
		tags, err := x.Tags(t.Context(), []byte(value), "")
		require.NoError(t, err)
		require.NotNil(t, tags)
		return tags
	}
	tag, err := x.Tag(t.Context(), []byte(value), "")
	require.NoError(t, err)
	return [][]byte{tag}
}

// TestBits compares shorter tags with Tink's full one.
func TestBits(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	seen := map[string]int{}
	for bits := 1; bits <= 128; bits++ {
		x := newIndexOf(t, kr, "f", token.IndexConfig{Bits: bits})
		tag, err := x.Tag(ctx, []byte("value"), "")
		require.NoError(t, err)
		require.Len(t, tag, 5+(bits+7)/8)
		require.Len(t, tag, x.Size())
		h, err := x.TinkKeyset(ctx, "")
		require.NoError(t, err)
		oracle, err := mac.New(h)
		require.NoError(t, err)
		full, err := oracle.ComputeMAC([]byte("value"))
		require.NoError(t, err)
		for i := range bits {
			require.Equal(t, bit(full[5:], i), bit(tag[5:], i))
		}
		for i := bits; i < 8*len(tag[5:]); i++ {
			require.Zero(t, bit(tag[5:], i), "padding")
		}
		require.Equal(t, full[:5], tag[:5])
		if bits >= 32 {
			require.Zero(t, seen[string(tag[5:9])], "bits are part of the key")
			seen[string(tag[5:9])] = bits
		}
		_, err = x.Match(ctx, []byte("value"), "")
		if bits < 128 {
			require.ErrorIs(t, err, token.ErrLossy)
		} else {
			require.NoError(t, err)
		}
	}
	x := newIndexOf(t, kr, "f", token.IndexConfig{Bits: 6})
	different := map[string]bool{}
	for i := range 2000 {
		tag, err := x.Tag(ctx, fmt.Append(nil, i), "")
		require.NoError(t, err)
		different[string(tag)] = true
	}
	require.Len(t, different, 64)
}

func bit(b []byte, i int) byte { return b[i/8] >> (7 - i%8) & 1 }

// TestBadInput states what becomes of input that is no ordinary text.
func TestBadInput(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	exact := newIndexOf(t, kr, "f", token.IndexConfig{})
	prefix := newIndexOf(t, kr, "f", token.IndexConfig{Kind: token.Prefix})
	suffix := newIndexOf(t, kr, "f", token.IndexConfig{Kind: token.Suffix})
	ngram := newIndexOf(t, kr, "f", token.IndexConfig{Kind: token.NGram})
	sets := []*token.Index{prefix, suffix, ngram}
	mega := strings.Repeat("secret-\u00e9", 1<<17)

	for _, value := range []string{"", "a", "a\x00", "\x00", "\xff", mega, mega[:len(mega)-1]} {
		require.Len(t, tagsOf(t, exact, value), 1)
	}
	require.NotEqual(t, tagsOf(t, exact, "a"), tagsOf(t, exact, "a\x00"))
	require.NotEqual(t, tagsOf(t, prefix, "abc"), tagsOf(t, prefix, "ab\x00"))
	for _, x := range sets {
		for value, n := range map[string]int{"": 0, "a": 0, "ab": 0, "abc": 1, "\x00\x00\x00": 1, "\u00e9\u00e9": 0, "\U0001F600\U0001F600\U0001F600": 1} {
			require.Len(t, tagsOf(t, x, value), n, "%s of %q", x.Config().Kind, value)
		}
		for _, value := range []string{"secret\xff", "\xff", "secret\xc3"} {
			_, err := x.Tags(ctx, []byte(value), "")
			require.ErrorIs(t, err, token.ErrValue)
			require.NotContains(t, err.Error(), "secret")
			_, err = x.Match(ctx, []byte(value), "")
			require.ErrorIs(t, err, token.ErrValue)
		}
		for _, query := range []string{"", "a", "ab", "\u00e9\u00e9", "secret%", "_secret", "%", "secret*", "sec?ret", "100%%%"} {
			_, err := x.Match(ctx, []byte(query), "")
			require.ErrorIs(t, err, token.ErrQuery, "%q", query)
			require.NotContains(t, err.Error(), "secret")
		}
	}
	folded := newIndexOf(t, kr, "f", token.IndexConfig{Kind: token.Prefix, Normalizer: token.NFKCFold})
	_, err := folded.Match(ctx, []byte("ann\uff05"), "")
	require.ErrorIs(t, err, token.ErrQuery, "a full-width percent sign is one")

	require.Len(t, tagsOf(t, prefix, mega), 6)
	require.Len(t, tagsOf(t, suffix, mega), 6)
	require.Len(t, tagsOf(t, ngram, mega), 8, "however often they occur")
	var many strings.Builder
	for r := rune(0x4e00); r < 0x4e00+1026; r++ {
		many.WriteRune(r)
	}
	require.Len(t, tagsOf(t, ngram, many.String()), 1024)
	many.WriteRune('x')
	_, err = ngram.Tags(ctx, []byte(many.String()), "")
	require.ErrorIs(t, err, token.ErrValue)
	_, err = ngram.Query(derive.Access{}, ctx, []byte(many.String()), "")
	require.ErrorIs(t, err, token.ErrQuery)

	_, err = exact.Tags(ctx, nil, "")
	require.ErrorContains(t, err, "call Tag")
	for _, x := range sets {
		_, err = x.Tag(ctx, []byte("abc"), "")
		require.ErrorContains(t, err, "call Tags")
		_, err = x.Tags(ctx, []byte("abc"), "scope")
		require.ErrorIs(t, err, keyring.ErrScope)
	}
}

func TestCompound(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	pair := newIndexOf(t, kr, "f", token.IndexConfig{Normalizer: token.Compound(nil, token.NFKCFold)})
	require.Equal(t, "compound/1(identity/1,nfkc-fold/1)", pair.Config().Normalizer.ID())
	tag := func(parts ...string) string {
		var values [][]byte
		for _, p := range parts {
			values = append(values, []byte(p))
		}
		b, err := pair.Tag(ctx, token.Values(values...), "")
		require.NoError(t, err)
		return string(b)
	}
	require.Equal(t, tag("ab", "c"), tag("ab", " \uff23 "))
	require.NotEqual(t, tag("ab", "c"), tag("a", "bc"))
	seen := map[string]string{}
	for _, s := range []string{"", "a", "ab", "abc", "a\x00", "abcd\x00\x00\x00\x00"} {
		for cut := range len(s) + 1 {
			got := tag(s[:cut], s[cut:])
			require.Empty(t, seen[got])
			seen[got] = s
		}
	}
	for _, value := range [][]byte{nil, {}, []byte("secret"), token.Values([]byte("secret")), token.Values(nil, nil, nil), token.Values([]byte("a"), []byte("b"))[:13],
		append(token.Values([]byte("a"), []byte("b")), 0), {0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, token.Values(nil, []byte("secret\xff"))} {
		_, err := pair.Tag(ctx, value, "")
		require.ErrorIs(t, err, token.ErrValue, "%q", value)
		require.NotContains(t, err.Error(), "secret")
	}
	q, err := pair.Query(derive.Access{}, ctx, token.Values([]byte("ab"), []byte("C")), "")
	require.NoError(t, err)
	holds, err := q.Holds(token.Values([]byte("ab"), []byte("c")))
	require.NoError(t, err)
	require.True(t, holds)
	tags, err := pair.Match(ctx, token.Values([]byte("ab"), []byte("C")), "")
	require.NoError(t, err)
	require.Equal(t, tag("ab", "c"), string(tags[0]))
}

func TestNewIndexRefusesKinds(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	for _, c := range []struct {
		cfg  token.IndexConfig
		want string
	}{
		{token.IndexConfig{Kind: "range"}, `no kind "range"`},
		{token.IndexConfig{Bits: -1}, "Bits is -1"},
		{token.IndexConfig{Bits: 129}, "Bits is 129"},
		{token.IndexConfig{Kind: token.Prefix, Bits: 64}, "Bits is for Exact"},
		{token.IndexConfig{Kind: token.NGram, Bits: 64}, "Bits is for Exact"},
		{token.IndexConfig{Min: 3}, "for Prefix and Suffix, not for exact"},
		{token.IndexConfig{Kind: token.NGram, Max: 3}, "for Prefix and Suffix, not for ngram"},
		{token.IndexConfig{Kind: token.Prefix, Min: 9}, "are 9 and 8"},
		{token.IndexConfig{Kind: token.Suffix, Min: -1}, "are -1 and 8"},
		{token.IndexConfig{Kind: token.Suffix, Max: 65}, "are 3 and 65"},
		{token.IndexConfig{Kind: token.Prefix, Normalizer: token.Compound(nil, nil)}, "has to be Exact"},
		{token.IndexConfig{Normalizer: token.Compound(nil)}, "two values or more"},
	} {
		_, err := token.NewIndex(kr, "f", c.cfg)
		require.ErrorContains(t, err, c.want)
	}
}

// TestConfigIsPartOfTheKey holds that no two configurations share a tag.
func TestConfigIsPartOfTheKey(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	seen := map[string]string{}
	for _, cfg := range []token.IndexConfig{
		{}, {Bits: 127}, {Normalizer: token.NFKCFold}, {Kind: token.Prefix}, {Kind: token.Prefix, Max: 9}, {Kind: token.Prefix, Min: 2},
		{Kind: token.Prefix, Normalizer: token.NFKCFold}, {Kind: token.Suffix}, {Kind: token.NGram}, {Kind: token.NGram, Normalizer: token.Digits},
	} {
		for _, tag := range tagsOf(t, newIndexOf(t, kr, "f", cfg), "123") {
			require.Empty(t, seen[string(tag[:20])])
			seen[string(tag[:20])] = fmt.Sprint(cfg)
		}
	}
}

// TestKindsAcrossRotation holds that every row is found at every moment.
func TestKindsAcrossRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		kr := keyringtest.NewKeyring(t)
		indexes := []*token.Index{
			newIndexOf(t, kr, "f", token.IndexConfig{Kind: token.Prefix}), newIndexOf(t, kr, "f", token.IndexConfig{Kind: token.Suffix}),
			newIndexOf(t, kr, "f", token.IndexConfig{Kind: token.NGram}), newIndexOf(t, kr, "f", token.IndexConfig{Bits: 10}),
		}
		rows := make([][][][]byte, len(indexes))
		for n := range 4 {
			for i, x := range indexes {
				rows[i] = append(rows[i], tagsOf(t, x, "valuevalue"))
				q, err := x.Query(derive.Access{}, ctx, []byte("valuevalue"), "")
				require.NoError(t, err)
				for _, row := range rows[i] {
					require.True(t, finds(q, row))
				}
			}
			if n%2 == 0 {
				_, err := kr.Rotate(ctx, indexTarget, keyring.RotateOptions{})
				require.NoError(t, err)
			} else {
				time.Sleep(11 * time.Minute)
			}
		}
		require.NoError(t, kr.Close())
	})
}

// TestNFKCFold pairs spellings that are equal, and some that are not.
func TestNFKCFold(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	x := newIndexOf(t, kr, "f", token.IndexConfig{Normalizer: token.NFKCFold})
	for _, same := range [][]string{
		{"Stra\u00dfe", "STRASSE", "strasse", " Strasse\n", "\uff33\uff34\uff32\uff21\uff33\uff33\uff25", "STRA\u1e9eE"},
		{"Jos\u00e9", "JOSE\u0301", "jose\u0301"},
		{"Ann Lee", "ann\u3000lee", "ANN \t LEE", "\u00a0Ann\u2003Lee "},
		{"\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c3"}, // final sigma
		{"\u0130", "i\u0307"}, {"\ufb01nch", "FINCH"}, {"\uff11\uff12", "12"}, {"\u1e9b\u0323", "\u1e69"}, {"", "  "},
		{"\u0345\u0313", "\u0313\u0345"},
	} {
		for _, s := range same {
			require.Equal(t, tagsOf(t, x, same[0]), tagsOf(t, x, s), "%+q and %+q", same[0], s)
		}
	}
	for _, different := range [][2]string{{"jose", "jos\u00e9"}, {"I", "\u0131"}, {"\u0130", "i"}, {"ab", "a b"}, {"a", "a\x00"}} {
		require.NotEqual(t, tagsOf(t, x, different[0]), tagsOf(t, x, different[1]))
	}
	// Twice is the same as once, for every character there is.
	for r := rune(0); r <= 0x10ffff; r++ {
		once, err := token.NFKCFold.Append(nil, []byte("x"+string(r)))
		require.NoError(t, err)
		twice, err := token.NFKCFold.Append(nil, once)
		require.NoError(t, err)
		if !bytes.Equal(once, twice) {
			t.Fatalf("%U: %+q, then %+q", r, once, twice)
		}
	}
}

// TestTagPair follows two columns through rotations: at each step, whatever the
// keys that two writers know, there is a column that both fill.
func TestTagPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
		open := func() *keyring.Keyring {
			return keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Store, c.KMS = store, []keyring.KMS{kms} })
		}
		kr, cold := open(), open()
		x, other := newIndex(t, kr, "f", nil), newIndex(t, cold, "f", nil)
		pair := func(x *token.Index) [2][]byte {
			t.Helper()
			p, err := x.TagPair(ctx, []byte("v"), "")
			require.NoError(t, err)
			return p
		}
		shareColumn := func(p, q [2][]byte) {
			t.Helper()
			require.True(t, p[0] != nil && bytes.Equal(p[0], q[0]) || p[1] != nil && bytes.Equal(p[1], q[1]))
		}
		rotate := func() keyring.KeyID {
			id, err := kr.Rotate(ctx, indexTarget, keyring.RotateOptions{})
			require.NoError(t, err)
			return id
		}
		destroy := func(n int) {
			keys, err := kr.Keys(ctx, indexTarget)
			require.NoError(t, err)
			_, err = kr.MarkCompromised(ctx, indexTarget, keys[n].ID)
			require.NoError(t, err)
			require.NoError(t, kr.Destroy(ctx, indexTarget, keys[n].ID, keyring.DestroyOptions{By: "test", Count: func(context.Context, keyring.KeyInfo) (int64, error) { return 0, nil }}))
		}

		first := pair(x)
		require.NotNil(t, first[0])
		require.Nil(t, first[1])
		tag, err := x.Tag(ctx, []byte("v"), "")
		require.NoError(t, err)
		require.Equal(t, tag, first[0])
		before := pair(other)
		require.Equal(t, first, before)

		second := rotate()
		both := pair(x)
		require.Equal(t, first[0], both[0])
		require.Equal(t, second.Bytes(), both[1][1:5], "a pending key is written at once")
		shareColumn(before, both)
		time.Sleep(11 * time.Minute)
		require.Equal(t, both, pair(x))
		require.Equal(t, both, pair(other))

		third := rotate() // before its time
		time.Sleep(11 * time.Minute)
		require.Equal(t, both, pair(x), "a third key waits")
		fourth := rotate()
		time.Sleep(2 * time.Hour)
		destroy(0)
		after := pair(x)
		require.Equal(t, both[1], after[1])
		require.Equal(t, third.Bytes(), after[0][1:5])
		shareColumn(both, after)
		time.Sleep(2 * time.Minute)
		require.Equal(t, after, pair(other))

		destroy(2) // the third, out of turn: the second waits for the fourth no longer than for another odd one
		gap := pair(x)
		require.Equal(t, both[1], gap[1])
		require.Nil(t, gap[0], "the fourth is of the same parity")
		shareColumn(after, gap)
		fifth := rotate()
		time.Sleep(11 * time.Minute)
		gap = pair(x)
		require.Equal(t, fifth.Bytes(), gap[0][1:5])
		tags, err := x.Match(ctx, []byte("v"), "")
		require.NoError(t, err)
		require.Len(t, tags, 3)
		require.Equal(t, fourth.Bytes(), tags[1][1:5])

		for _, cfg := range []token.IndexConfig{{Bits: 64}, {Kind: token.Prefix}, {Kind: token.NGram}} {
			_, err := newIndexOf(t, kr, "f", cfg).TagPair(ctx, []byte("value"), "")
			require.ErrorContains(t, err, "exact with 128 bits")
		}
		_, err = newIndexOf(t, kr, "f", token.IndexConfig{Normalizer: token.Digits}).TagPair(ctx, []byte("secret"), "")
		require.ErrorIs(t, err, token.ErrValue)
		require.NoError(t, kr.Suspend(ctx, indexTarget, fifth))
		_, err = x.TagPair(ctx, nil, "")
		require.ErrorIs(t, err, keyring.ErrSuspended)
		require.NoError(t, kr.Close())
		require.NoError(t, cold.Close())
	})
}
