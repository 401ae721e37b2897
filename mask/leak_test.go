package mask_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/leaktest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

// TestNothingIsPrinted prints a masker and all that it made, used.
func TestNothingIsPrinted(t *testing.T) {
	key := []byte("\xde\xad\xbe\xef\xca\xfe\xba\xbeKj3vQz9LmXw2RtYb8HnPc5Gd")
	const value = "Qzxkvwjprbtgymhcndlfsaue"
	m := mask.Fixed(key)
	values := map[string]any{"masker": m}
	for _, text := range allRules {
		r := newRule(t, m, text)
		for _, v := range []string{samples(text)[0], value} {
			_, _ = r.Append(nil, []byte(v), &mask.Row{Subject: []byte("42")}) // some take no such value
		}
		values[text] = r
	}
	type row struct {
		Name string `mask:"name"`
		Note string `mask:"text"`
	}
	s, err := mask.NewStruct[row](m)
	require.NoError(t, err)
	_, err = s.Mask(row{value, "about " + value})
	require.NoError(t, err)
	values["struct"] = s
	one := &mask.Row{}
	one.Own([]byte(value), []byte("masked"))
	values["row"] = one
	p, err := mask.ParsePolicy([]byte(`{"version": 1, "epoch": "test", "tables": {"t": {"columns": {"name": "shape", "note": "text", "kept": {"keep": "a test"}}}}}`))
	require.NoError(t, err)
	tables, err := p.Compile(t.Context(), keyringtest.NewKeyring(t), "")
	require.NoError(t, err)
	for _, all := range []bool{false, true} {
		rows, err := tables["t"].Rows([]string{"name", "note", "kept"})
		require.NoError(t, err)
		line := [][]byte{[]byte(value), []byte("about " + value), []byte(value)}
		if all {
			_, err = rows.MaskAll([][][]byte{line, line})
		} else {
			_, err = rows.Mask(line)
		}
		require.NoError(t, err)
		values[fmt.Sprint("rows ", all)] = rows
	}
	leaktest.Check(t, map[string][]byte{"key": key, "value": []byte(value)}, values)
}
