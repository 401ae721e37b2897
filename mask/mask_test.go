package mask_test

import (
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

// fixed is a masker with the key of the golden values.
func fixed() *mask.Masker {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	return mask.Fixed(key)
}

func newRule(t testing.TB, m *mask.Masker, text string) *mask.Rule {
	t.Helper()
	r, err := m.Rule(text)
	require.NoError(t, err, text)
	return r
}

// apply masks a value for a subject.
func apply(t testing.TB, r *mask.Rule, value string) string {
	t.Helper()
	out, err := r.Append(nil, []byte(value), &mask.Row{Subject: []byte("42")})
	require.NoError(t, err, "%s of %q", r, value)
	require.NotNil(t, out, "%s of %q is NULL", r, value)
	return string(out)
}

// TestKeys checks what results depend on: keyring, scope, epoch, domain, rule.
func TestKeys(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	open := func(kr *keyring.Keyring, cfg mask.Config) *mask.Masker {
		m, err := mask.New(ctx, kr, cfg)
		require.NoError(t, err)
		return m
	}
	scoped := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	maskers := map[string]*mask.Masker{
		"first": open(kr, mask.Config{Epoch: "1"}), "epoch": open(kr, mask.Config{Epoch: "2"}), "no epoch": open(kr, mask.Config{}),
		"keyring": open(keyringtest.NewKeyring(t), mask.Config{Epoch: "1"}),
		"a":       open(scoped, mask.Config{Scope: "a", Epoch: "1"}), "b": open(scoped, mask.Config{Scope: "b", Epoch: "1"}),
	}
	results, checks := map[string]string{}, map[string]string{}
	for name, m := range maskers {
		checks[m.Check()] = name
		for _, rule := range []string{"token", "token,domain=customer", "hash", "hash,domain=customer"} {
			results[apply(t, newRule(t, m, rule), "value")] = name + " " + rule
		}
	}
	require.Len(t, checks, len(maskers))
	require.Len(t, results, 4*len(maskers))

	again := open(kr, mask.Config{Epoch: "1", Check: maskers["first"].Check()})
	require.Regexp(t, `^[0-9a-f]{16}$`, again.Check())
	require.Equal(t, apply(t, newRule(t, maskers["first"], "token"), "value"), apply(t, newRule(t, again, "token,domain=token"), "value"))
	_, err := mask.New(ctx, kr, mask.Config{Epoch: "2", Check: again.Check()})
	require.ErrorIs(t, err, mask.ErrCheck)
	_, err = mask.New(ctx, scoped, mask.Config{})
	require.Error(t, err, "a scoped keyring without a scope")
	_, err = mask.New(ctx, nil, mask.Config{})
	require.Error(t, err)
}

// TestEpochKey holds the keys of New against SPEC.md: the golden values begin with the
// epoch key, and package crypto has those of the derivation from a DEK.
func TestEpochKey(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	m, err := mask.New(t.Context(), kr, mask.Config{Epoch: "2026-q4"})
	require.NoError(t, err)
	type key struct{ bytes []byte }
	d := keyring.NewDerivation(derive.Access{}, kr, keyring.Masking, "test", func(m *keyring.Material, k *key) (err error) {
		k.bytes, err = m.Derive("MASK", "sealfield/mask", 32, "2026-q4")
		return err
	})
	k, err := d.Active(t.Context(), "")
	require.NoError(t, err)
	same := mask.Fixed(k.bytes)
	require.Equal(t, same.Check(), m.Check())
	require.Equal(t, apply(t, newRule(t, same, "pan"), "4111111111111111"), apply(t, newRule(t, m, "pan"), "4111111111111111"))
}

// TestRotation rotates the Masking key in the middle of a job, and closes the
// keyring: the job goes on as it began, the next one is another epoch.
func TestRotation(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	m, err := mask.New(t.Context(), kr, mask.Config{})
	require.NoError(t, err)
	before := apply(t, newRule(t, m, "token"), "value")
	_, err = kr.Rotate(t.Context(), keyring.Target{Purpose: keyring.Masking}, keyring.RotateOptions{Immediate: true})
	require.NoError(t, err)
	require.Equal(t, before, apply(t, newRule(t, m, "token"), "value"))
	_, err = mask.New(t.Context(), kr, mask.Config{Check: m.Check()})
	require.ErrorIs(t, err, mask.ErrCheck)
	require.NoError(t, kr.Close())
	require.Equal(t, before, apply(t, newRule(t, m, "token"), "value"))
	_, err = mask.New(t.Context(), kr, mask.Config{})
	require.ErrorIs(t, err, keyring.ErrClosed)
}

func TestNullAndEmpty(t *testing.T) {
	for _, text := range allRules {
		r := newRule(t, fixed(), text)
		row := &mask.Row{Subject: []byte("42")}
		out, err := r.Append([]byte("dst"), nil, row)
		require.NoError(t, err)
		require.Nil(t, out, "NULL stays NULL: %s", text)
		for _, dst := range [][]byte{nil, []byte("dst")} {
			out, err = r.Append(dst, []byte{}, row)
			require.NoError(t, err)
			require.NotNil(t, out, "empty stays empty: %s", text)
			require.Equal(t, string(dst), string(out))
		}
		require.Zero(t, r.Fallbacks())
	}
	out, err := newRule(t, fixed(), "null").Append(nil, []byte("value"), nil)
	require.NoError(t, err)
	require.Nil(t, out)
	out, err = newRule(t, fixed(), "constant,value=").Append(nil, []byte("value"), nil)
	require.NoError(t, err)
	require.Equal(t, []byte{}, out)
}

func TestSimple(t *testing.T) {
	m := fixed()
	for _, c := range []struct{ rule, value, want string }{
		{"redact", "secret", "***"},
		{"partial,first=1,last=2", "Jonathan", "J*****an"},
		{"pan-display", "4111111111111111", "411111******1111"},
		{"constant,value=x y", "secret", "x y"},
		{"token", "secret", `^[0-9a-hjkmnp-tv-z]{16}$`},
		{"token,len=8,prefix=c_", "secret", `^c_[0-9a-hjkmnp-tv-z]{8}$`},
		{"hash", "secret", `^[0-9a-f]{32}$`},
		{"shape", "Anne-Marie O'Neil, flat 12b", `^[A-Z][a-z]{3}-[A-Z][a-z]{4} [A-Z]'[A-Z][a-z]{3}, [a-z]{4} \d\d[a-z]$`},
		{"shape", "Ünal", `^[A-Z][a-z]{3}$`},
		{"shape", "山田太郎", `^[a-z]{4}$`},
		{"shape", "٣٤", `^\d\d$`},
		{"shape", "-", `^x$`},
		{"shape", " ... ", `^xxxxx$`},
		{"shape", "\xff\xfe", `^[a-z]{2}$`},
	} {
		got := apply(t, newRule(t, m, c.rule), c.value)
		if strings.HasPrefix(c.want, "^") {
			require.Regexp(t, c.want, got, "%s of %q", c.rule, c.value)
		} else {
			require.Equal(t, c.want, got)
		}
		one, err := m.Mask(c.rule, c.value)
		require.NoError(t, err)
		require.Equal(t, got, one)
	}
	// A single character is never itself.
	r := newRule(t, m, "shape")
	for c := rune(1); c < 0x3000; c++ {
		require.NotEqual(t, string(c), apply(t, r, string(c)))
	}
}

func TestRedaction(t *testing.T) {
	require.Equal(t, "***", mask.Full("secret"))
	require.Equal(t, "***", mask.Full(""))
	for _, c := range []struct {
		value       string
		first, last int
		want        string
	}{
		{"Jonathan", 2, 2, "Jo****an"}, {"Jonathan", 1, 0, "J*******"}, {"Jonathan", 0, 0, "********"},
		{"Jon", 1, 1, "***"}, {"Jo", 1, 0, "J*"}, {"J", 1, 0, "***"}, {"J", 0, 1, "***"}, {"", 0, 0, ""},
		{"Jonathan", 1 << 62, 1 << 62, "***"}, {"Jonathan", -1, -5, "********"},
		{"Ünäl Öz", 1, 2, "Ü****Öz"}, {"\xff\xfe\xfd\xfc", 1, 1, "\xff**\xfc"}, {"👩‍👩‍👧", 1, 0, "👩**"},
		// Marks do not make a value longer.
		{"Zoe\u0301", 2, 0, "***"}, {"Zoe\u0301", 1, 0, "Z**"}, {"Zoe\u0301", 0, 1, "**e\u0301"}, {"a\u0300\u0301\u0302\u0303\u0304", 1, 0, "***"}, {"J\u200bo\u200b\u200b", 1, 1, "***"},
		{"e\u0301tienne", 1, 1, "e\u0301*****e"}, {"\u0301abcd", 1, 0, "a***"}, {"राधाराम", 1, 1, "र" + "ा**" + "म"}, {"\u0301\u0301", 0, 0, ""},
	} {
		require.Equal(t, c.want, mask.Keep(c.value, c.first, c.last), "%+v", c)
	}
	for value, want := range map[string]string{
		"4111111111111111": "411111******1111", "4111 1111 1111 1111": "4111 11** **** 1111", "378282246310005": "37828******0005",
		"4222222222222": "422******2222", "6304000000000000000": "630400*********0000", "411111111111": "41******1111", "4111111111111112": "411111******1112",
		"41111111111": "***", "41111111111111111111": "***", "4111-1111-1111-111x": "***", "": "***", "４１１１１１１１１１１１１１１１": "***", "4111\n111111111111": "***",
	} {
		require.Equal(t, want, mask.PAN(value))
	}
}

func TestRuleErrors(t *testing.T) {
	for text, want := range map[string]string{
		"tokn":                       `mask: there is no rule "tokn"; did you mean "token"?`,
		"token,domian=x":             `mask: domian: rule token has no such parameter; did you mean "domain"?`,
		"redact,domain=x":            `mask: domain: rule redact has no such parameter; there are none`,
		"token,len=3":                `mask: len: "3" is no number from 4 to 64`,
		"token,len=x":                `mask: len: "x" is no number from 4 to 64`,
		"token,len=8,len=9":          `mask: len: is there twice`,
		"token,len":                  `mask: "len" is no parameter; parameters are written name=value, without spaces`,
		"token,domain=":              `mask: domain: a domain has 1 to 255 bytes`,
		"token,domain=a b":           `mask: domain: a domain has no spaces, commas or control characters`,
		"token,domain=sealfield/x":   `mask: domain: domains that begin with sealfield/ are reserved`,
		"partial":                    `mask: partial shows nothing; give first= or last=, or use redact`,
		"constant":                   `mask: constant has no value; write constant,value=...`,
		"token,":                     `mask: "" is no parameter; parameters are written name=value, without spaces`,
		"partial,first=1,last=99999": `mask: last: "99999" is no number from 0 to 1000`,
	} {
		_, err := fixed().Rule(text)
		require.EqualError(t, err, want)
		require.IsType(t, &mask.SpecError{}, err)
	}
	_, err := new(mask.Masker).Rule("token")
	require.EqualError(t, err, `mask: rule token needs keys; make the Masker by mask.New`)
	require.Equal(t, "***", apply(t, newRule(t, new(mask.Masker), "redact"), "secret"))
	require.Empty(t, new(mask.Masker).Check())
}

// TestProperties holds what every rule promises against what it does.
func TestProperties(t *testing.T) {
	for _, text := range allRules {
		r := newRule(t, fixed(), text)
		p := r.Properties()
		require.NotEmpty(t, p.Domain, text)
		require.NotEmpty(t, p.Types, text)
		if p.Bijective {
			require.Zero(t, p.Collisions(1e9), text)
		}
		require.LessOrEqual(t, p.Collisions(1e18), 1.0, text)
		other := mask.Fixed(make([]byte, 32))
		for _, value := range samples(text) {
			out := apply(t, r, value)
			require.Equal(t, out, apply(t, r, value), "%s is deterministic", text)
			if p.SameLength {
				require.Equal(t, utf8.RuneCountInString(value), utf8.RuneCountInString(out), "%s of %q is %q", text, value, out)
			}
			if p.MaxLen != 0 {
				require.LessOrEqual(t, utf8.RuneCountInString(out), p.MaxLen, "%s of %q is %q", text, value, out)
			}
			if p.Alphabet != "" {
				require.Regexp(t, "^"+p.Alphabet+"*$", out, text)
			}
			if p.Fold {
				require.Equal(t, out, apply(t, r, asciiUpper(value)), "%s of %q", text, value)
			}
			if p.Keyed && p.Hidden > 20 && !allocates[nameOf(text)] && (p.Bijective || p.Collisions(2) < 1e-4) {
				require.NotEqual(t, out, apply(t, newRule(t, other, text), value), "%s of %q", text, value)
			}
			if !p.Keyed {
				require.Equal(t, out, apply(t, newRule(t, other, text), value), text)
			}
		}
		require.Zero(t, r.Fallbacks(), text)
	}
	require.True(t, newRule(t, fixed(), "email,case=fold").Properties().Fold)
	require.False(t, newRule(t, fixed(), "email,at=keep,case=fold").Properties().Fold, "the domain is as it was")
	token := newRule(t, fixed(), "token,len=16").Properties()
	require.InDelta(t, 4.1e-13, token.Collisions(1e6), 1e-14)
	require.Zero(t, token.Collisions(1))
	require.Equal(t, 1.0, newRule(t, fixed(), "redact").Properties().Collisions(2))
}

func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, s)
}

// samples returns values that the rule can parse.
func samples(rule string) []string {
	name := nameOf(rule)
	for _, key := range []string{rule, name} {
		if s := parseable[key]; s != nil {
			return s
		}
	}
	return hostileText
}

// TestHostile gives every rule what it may not like: no panic, no input back, and
// each that is not parsed is counted.
func TestHostile(t *testing.T) {
	for _, text := range allRules {
		r := newRule(t, fixed(), text)
		p := r.Properties()
		for _, value := range hostile {
			before := r.Fallbacks()
			in := []byte(value)
			out, err := r.Append([]byte("dst "), in, &mask.Row{Subject: []byte("42")})
			require.NoError(t, err)
			require.Equal(t, value, string(in), "the input is untouched")
			if out == nil {
				require.True(t, p.Nullable, "%s of %q", text, value)
			} else if value != "" && !mayReturn(text, value) {
				require.True(t, strings.HasPrefix(string(out), "dst "), "%s of %q is %q", text, value, out)
				require.NotEqual(t, value, string(out[4:]), "%s", text)
			}
			require.LessOrEqual(t, r.Fallbacks(), before+uint64(len(value))+1)
		}
	}
}

// mayReturn says where a rule says itself that it shows the value.
func mayReturn(rule, value string) bool {
	name := nameOf(rule)
	network := strings.HasPrefix(rule, "ip,keep=16") && value == "10.0.0.0/8" // shorter than what is kept
	stars := name == "partial" && mask.Keep(value, 2, 2) == value             // there is nothing but * to hide
	return shows[name] || value == "***" || value == "x" || network || stars
}

func TestConcurrent(t *testing.T) {
	m := fixed()
	type pair struct {
		r           *mask.Rule
		value, want string
	}
	var pairs []pair
	for _, text := range allRules {
		if r := newRule(t, m, text); text != "null" {
			value := samples(text)[0]
			pairs = append(pairs, pair{r, value, apply(t, r, value)})
		}
	}
	wrong := make([]int, 8)
	var wg sync.WaitGroup
	for g := range wrong {
		wg.Go(func() {
			row := mask.Row{Subject: []byte("42")}
			var dst []byte
			for i := range 2000 {
				p := pairs[(g+i)%len(pairs)]
				var err error
				if dst, err = p.r.Append(dst[:0], []byte(p.value), &row); err != nil || string(dst) != p.want {
					wrong[g]++
				}
			}
		})
	}
	wg.Wait()
	for _, n := range wrong {
		require.Zero(t, n)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	row, dst := mask.Row{Subject: []byte("42")}, make([]byte, 0, 4096)
	for _, text := range allRules {
		name := nameOf(text)
		if allocates[name] {
			continue
		}
		r := newRule(t, fixed(), text)
		for _, value := range samples(text) {
			if len(value) > 1000 || name == "ip" && isIPv6(value) {
				continue
			}
			src := []byte(value)
			require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = r.Append(dst, src, &row) }), "%s of %q", text, value)
		}
	}
}
