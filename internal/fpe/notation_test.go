package fpe_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/token/ff1"
)

func TestNotation(t *testing.T) {
	for notation, text := range map[string]string{
		"":                                     "no format of that name",
		"pann":                                 "no format of that name",
		"int":                                  "no format of that name",
		"PAN":                                  "nothing in it is enciphered",
		"<[0-9]{9}>":                           "nothing in it is enciphered",
		"pan-bin6-last4":                       "pan and pan-bin6 together leave 100,000",
		"[0-9]{6":                              "a '}' is missing",
		"[0-9{6}":                              "no meaning",
		"[0-9":                                 "a ']' is missing",
		`[0-9\`:                                "a ']' is missing",
		"0-9]":                                 "no meaning",
		"[]{6}":                                "fewer than two",
		"[a]{6}":                               "fewer than two",
		"[0-9|]{6}":                            "fewer than two",
		"[0-9|a]{6}":                           "fewer than two",
		"[00]{6}":                              "'0' twice",
		"[0-95]{6}":                            "'5' twice",
		"[0-9|5-6]{6}":                         "'5' twice",
		"[9-0]{6}":                             "ascend",
		"[0-]{6}":                              "ascend",
		"[0-|]{6}":                             "ascend",
		"[0-9]{0}":                             "no count",
		"[0-9]{6,7}":                           "no count",
		"[0-9]{06}":                            "no count",
		"[0-9]{+6}":                            "no count",
		"[0-9]{7-6}":                           "no count",
		"[0-9]{6-6}":                           "no count",
		"[0-9]{6-}":                            "no count",
		"[0-9]{256}":                           "no count",
		"[0-9]{6-7}[a-z]{1-2}":                 "two counts",
		"[0-9]{6-7}<[a-z]{1-2}>":               "two counts",
		"<[0-9]>[0-9]{6}>":                     "no meaning",
		"<[0-9]":                               "not closed",
		"<>[0-9]{6}":                           "classes only",
		"<<[0-9]>>[0-9]{6}":                    "classes only",
		"<A>[0-9]{6}":                          "classes only",
		"<(luhn)>[0-9]{6}":                     "classes only",
		"[0-9]{6}(sum)":                        "neither",
		"[0-9]{6}(luhn":                        "')' is missing",
		"[0-9]{6}(luhn)(luhn)":                 "two elements are check digits",
		"[0-9]{6}A(luhn)":                      "digits only",
		"[0-9a-z]{6}(luhn)":                    "digits only",
		"<[A-Z]>(mod97)[0-9]{9}":               "after two characters",
		"<[A-Z]{1-2}>(mod97)[0-9]{9}":          "after two characters",
		"[0-9]{9}(mod97)":                      "after two characters",
		"<[A-Z]{2}>(mod97)[a-z]{9}":            "after two characters",
		"[0-9]{6-7}(cc)":                       "before (cc)",
		"(cc)[0-9]{6}(cc)":                     "twice",
		"(01-1)[0-9]{6}":                       "neither",
		"(01-00)[0-9]{6}":                      "neither",
		"(01)[0-9]{6}":                         "neither",
		"(00000-99999)[0-9]{6}":                "neither",
		"(01-99!01)[0-9]{6}":                   "neither",
		"(01-99!99)[0-9]{6}":                   "neither",
		"(01-99!50!50)[0-9]{6}":                "neither",
		"(01-99!5)[0-9]{6}":                    "neither",
		"(1-2!)[0-9]{6}":                       "neither",
		"(5-5)[0-9]{6}":                        "neither",
		"ü[0-9]{6}":                            "printable ASCII",
		"[a-ü]{6}":                             "printable ASCII",
		"\t[0-9]{6}":                           "printable ASCII",
		`\a[0-9]{6}`:                           "no meaning",
		`[\a-z]{6}`:                            "no meaning",
		`[0-9]{6}\`:                            "no meaning",
		strings.Repeat("[a-z]{255}", 5):        "more than 1024",
		"int:5..5":                             "int:LO..HI",
		"int:9..5":                             "int:LO..HI",
		"int:0-9":                              "int:LO..HI",
		"int:00..99":                           "int:LO..HI",
		"int:0..9223372036854775808":           "int:LO..HI",
		"date:1900-01-01..1899-01-01":          "date:LO..HI",
		"date:1900-01-01..2023-02-29":          "date:LO..HI",
		"date:0000-01-01..2023-02-28":          "date:LO..HI",
		"date:1900-01-01...2023-02-28":         "date:LO..HI",
		"int:0..99999999999999999999999999999": "int:LO..HI",
	} {
		f, err := fpe.Parse(notation)
		require.ErrorContains(t, err, text, notation)
		require.Nil(t, f)
	}
}

// TestAllows has formats that are understood and not accepted.
func TestAllows(t *testing.T) {
	for _, c := range []struct {
		notation string
		o        fpe.Options
		text     string // "" if it is accepted
	}{
		{"[0-9]{5}", fpe.Options{}, "smaller than 1,000,000 values: it leaves as few as 100000; use token.Vault, or package mask"},
		{"[0-9]{6}", fpe.Options{}, ""},
		{"[0-9]{5-9}", fpe.Options{}, "smaller than 1,000,000"},
		{"[0-9|A-Z]{5}", fpe.Options{}, "as few as 100000"},
		{"[0-9|A-Z]{6}", fpe.Options{}, ""},
		{"(000-998)(0000-1000)", fpe.Options{}, "as few as 999999"},
		{"(000-999)(0000-0999)", fpe.Options{}, ""},
		{"<[0-9]{6}>[0-9]{5}(luhn)<[0-9]{4}>", fpe.Options{}, "token.Vault"},
		{"int:0..999998", fpe.Options{}, "as few as 999999"},
		{"int:1..1000000", fpe.Options{}, ""},
		{"date:1900-01-01..2099-12-31", fpe.Options{}, "as few as 73049"},
		{"date:1900-01-01..2099-12-31", fpe.Options{Permute: true}, ""},
		{"[0-9]{2}", fpe.Options{Permute: true}, ""},
		{"int:1..99", fpe.Options{Permute: true}, "smaller than 100"},
		{"pan", fpe.Options{Separators: fpe.Keep}, ""},
		{"ID-[0-9]{6}", fpe.Options{Separators: fpe.Keep}, "characters of its own that are separators"},
		{`[.0-9]{9}`, fpe.Options{Separators: fpe.Drop}, "characters of its own that are separators"},
		{"int:0..9999999", fpe.Options{Separators: fpe.Drop}, "no separators"},
		{"uuid", fpe.Options{Separators: fpe.Drop}, "characters of its own that are separators"},
		{"pan", fpe.Options{Separators: 3}, "no such way"},
		{"pan", fpe.Options{Separators: -1}, "no such way"},
	} {
		f, err := fpe.Parse(c.notation)
		require.NoError(t, err)
		err = f.Allows(c.o)
		_, newErr := fpe.New(f, c.o, testKeys(""))
		require.Equal(t, err, newErr)
		if c.text == "" {
			require.NoError(t, err, c.notation)
			continue
		}
		require.ErrorContains(t, err, c.text, c.notation)
		if !c.o.Permute && strings.Contains(c.text, "as few") {
			require.ErrorIs(t, err, ff1.ErrDomain)
		}
	}
	f, err := fpe.Parse("[0-9]{6}")
	require.NoError(t, err)
	_, err = fpe.New(f, fpe.Options{}, fpe.Keys{FF1: make([]byte, 16)})
	require.Error(t, err)
	_, err = fpe.New(f, fpe.Options{Permute: true}, fpe.Keys{FF1: make([]byte, 32)})
	require.Error(t, err)
	for notation, keeps := range map[string]bool{"pan": true, "phone": true, "iban": true, "uuid": true, "ssn": false, "int:0..9999999": false, "ID-[0-9]{6-9}": false, "[0-9|a-z]{9}": true} {
		f, err := fpe.Parse(notation)
		require.NoError(t, err)
		require.Equal(t, keeps, f.Keeps(), notation)
	}
}

func TestDecimal(t *testing.T) {
	for notation, want := range map[string][]int64{
		"pan":                         {1_000_000_000_000, 999_999_999_999_999_999},
		"pan-bin6":                    {1_000_000_000_000, 999_999_999_999_999_999},
		"int:-5..5000000":             {-5, 5_000_000},
		"[1-9][0-9]{6}":               {1_000_000, 9_999_999},
		"(100-999)(0000-9999)":        {1_000_000, 9_999_999},
		"ssn":                         nil,
		"[0-9]{9}":                    nil,
		"(099-999)(0000-9999)":        nil,
		"phone":                       nil,
		"iban":                        nil,
		"[1-9][0-9]{18}":              nil,
		"(luhn)[0-9]{9}":              nil,
		"[1-9][0-9]{5}-[0-9]":         nil,
		"date:0001-01-01..9999-12-31": nil,
		"<[1-9]>[0-9]{6-17}":          {1_000_000, 999_999_999_999_999_999},
		"7[0-9]{6}":                   {1_000_000, 9_999_999},
		"[1-9a][0-9]{6}":              nil,
	} {
		f, err := fpe.Parse(notation)
		require.NoError(t, err)
		lo, hi, ok := f.Decimal()
		require.Equal(t, want != nil, ok, notation)
		if ok {
			require.Equal(t, want, []int64{lo, hi}, notation)
		}
	}
}
