package e164_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
	"github.com/sealfield/sealfield/token/e164"
)

func newNormalizer(t testing.TB, region string) token.Normalizer {
	n, err := e164.New(region)
	require.NoError(t, err)
	return n
}

// TestSpellings writes each number in every way that people use.
func TestSpellings(t *testing.T) {
	for _, c := range []struct {
		region, want string
		typed        []string
	}{
		{"DE", "+493012345678", []string{"030 / 123 456-78", "+49 (0)30 12345678", "0049 30 12345678", "+49.30.12345678", "(030) 12345678", "\uff0b\uff14\uff19 30 12345678",
			"\u0660\u0663\u0660 \u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", " 030\u00a0123\u2009456\u201178\n", "\u202a030 123456\u2013\u200b78\u202c", "[030] 12345678", "++493012345678"[1:]}},
		{"US", "+15550109999", []string{"(555) 010-9999", "1-555-010-9999", "+1 555.010.9999", "011 1 555 010 9999", "555 010 9999"}},
		{"FR", "+33123456789", []string{"01 23 45 67 89", "+33 1 23 45 67 89", "0033123456789", "+33 (0)1 23 45 67 89"}},
		{"IT", "+390612345678", []string{"06 1234 5678", "+39 06 1234 5678"}}, // the zero stays
		{"AR", "+5491123456789", []string{"011 15 2345-6789", "+54 9 11 2345 6789"}},
		{"GB", "+442079460000", []string{"020 7946 0000", "+44 (0) 20 7946 0000"}},
		{"ZZ", "+442079460000", []string{"+44 20 7946 0000"}},
		{"JP", "+81312345678", []string{"\uff10\uff13\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18", "03-1234-5678"}},
	} {
		n := newNormalizer(t, c.region)
		require.Equal(t, "e164/1:"+c.region, n.ID())
		for _, typed := range c.typed {
			got, err := n.Append([]byte("head"), []byte(typed))
			require.NoError(t, err, typed)
			require.Equal(t, "head"+c.want, string(got), typed)
		}
	}
}

// TestExamples takes libphonenumber's example of every region and type, in every
// format, written within the region and from abroad.
func TestExamples(t *testing.T) {
	abroad := newNormalizer(t, e164.International)
	var numbers, local int
	for region := range phonenumbers.GetSupportedRegions() {
		home := newNormalizer(t, region)
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			number := phonenumbers.GetExampleNumberForType(region, kind)
			if number == nil {
				continue
			}
			if phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE {
				_, err := home.Append(nil, []byte(phonenumbers.Format(number, phonenumbers.E164)))
				require.ErrorIs(t, err, token.ErrValue)
				local++
				continue
			}
			numbers++
			want := phonenumbers.Format(number, phonenumbers.E164)
			for _, format := range []phonenumbers.PhoneNumberFormat{phonenumbers.E164, phonenumbers.INTERNATIONAL} {
				for _, n := range []token.Normalizer{home, abroad} {
					require.Equal(t, want, normal(t, n, phonenumbers.Format(number, format)), region)
				}
			}
			national := phonenumbers.Format(number, phonenumbers.NATIONAL)
			parsed, err := phonenumbers.Parse(national, region)
			require.NoError(t, err)
			if phonenumbers.Format(parsed, phonenumbers.E164) == want { // a few national formats do not lead back
				require.Equal(t, want, normal(t, home, national), region)
			}
		}
	}
	require.Greater(t, numbers, 1000)
	t.Logf("%d numbers, and %d that only their town can dial, refused", numbers, local)
}

func normal(t testing.TB, n token.Normalizer, typed string) string {
	got, err := n.Append(nil, []byte(typed))
	require.NoError(t, err, "%s %s", n.ID(), typed)
	return string(got)
}

func TestRefuses(t *testing.T) {
	n := newNormalizer(t, "US")
	for _, typed := range []string{" ", "+", "-", "secret", "555-0199", "1-800-FLOWERS", "(555) 010-9999 x5", "(555) 010-9999;ext=5", "tel:+15550109999", "555 010 9999 12",
		"1", "+999 555 010 9999", "+1 555 010 9999 / +1 555 010 9998", "+1+5550109999", "1+5550109999", "555\x000109999", "555\xff0109999", "555010999%", "555_0109999",
		"\u0967\u096b\u096b\u096b\u0966\u0967\u0966\u096f\u096f\u096f\u096f", strings.Repeat("5", 1<<20), strings.Repeat(" ", 300) + "5550109999"} {
		got, err := n.Append(nil, []byte(typed))
		require.ErrorIs(t, err, token.ErrValue, "%.30q", typed)
		require.Nil(t, got)
		require.NotContains(t, err.Error(), "555")
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := newNormalizer(t, e164.International).Append(nil, []byte("555 010 9999"))
	require.ErrorIs(t, err, token.ErrValue)
	require.Empty(t, normal(t, n, ""))
	for _, region := range []string{"", "us", "USA", "XX", "001"} {
		_, err := e164.New(region)
		require.Error(t, err, region)
	}
}

// TestIndex writes in one spelling and finds by another.
func TestIndex(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	x, err := token.NewIndex(kr, "customers.phone", token.IndexConfig{Normalizer: newNormalizer(t, "DE")})
	require.NoError(t, err)
	tag, err := x.Tag(ctx, []byte("030 / 123 456-78"), "")
	require.NoError(t, err)
	tags, err := x.Match(ctx, []byte("+49 (0)30 12345678"), "")
	require.NoError(t, err)
	require.Equal(t, [][]byte{tag}, tags)
	other, err := token.NewIndex(kr, "customers.phone", token.IndexConfig{Normalizer: newNormalizer(t, "US")})
	require.NoError(t, err)
	elsewhere, err := other.Tag(ctx, []byte("+493012345678"), "")
	require.NoError(t, err)
	require.NotEqual(t, tag, elsewhere, "the region is part of the key")
}

func FuzzAppend(f *testing.F) {
	for _, s := range []string{"030 / 123 456-78", "+49 (0)30 12345678", "(555) 010-9999", "+", "\u0660", "+39 06 1234 5678"} {
		f.Add("DE", s)
		f.Add("US", s)
	}
	regions := slices.Sorted(func(yield func(string) bool) {
		for r := range phonenumbers.GetSupportedRegions() {
			if !yield(r) {
				return
			}
		}
	})
	f.Fuzz(func(t *testing.T, region, typed string) {
		if !slices.Contains(regions, region) {
			t.Skip("no region")
		}
		n := newNormalizer(t, region)
		once, err := n.Append(nil, []byte(typed))
		if err != nil {
			require.ErrorIs(t, err, token.ErrValue)
			return
		}
		twice, err := n.Append(nil, once)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice), "idempotent")
	})
}

func Example() {
	german, err := e164.New("DE")
	if err != nil {
		panic(err)
	}
	for _, typed := range []string{"030 / 123 456-78", "+49 (0)30 12345678", "0049 30 12345678"} {
		number, err := german.Append(nil, []byte(typed))
		fmt.Println(string(number), err)
	}
	// Output:
	// +493012345678 <nil>
	// +493012345678 <nil>
	// +493012345678 <nil>
}
