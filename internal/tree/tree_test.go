package tree_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/tree"
)

func TestParseJSON(t *testing.T) {
	n, err := tree.ParseJSON([]byte("{\n\"a\": \"x\",\n \"b\": [1.50,\n true, null],\n\"c\": {}}\n"))
	require.NoError(t, err)
	require.Equal(t, &tree.Node{Line: 1, Kind: tree.Object, Fields: []tree.Field{
		{"a", 2, &tree.Node{Line: 2, Text: "x"}},
		{"b", 3, &tree.Node{Line: 3, Kind: tree.List, Items: []*tree.Node{{Line: 3, Kind: tree.Scalar, Text: "1.50"}, {Line: 4, Kind: tree.Scalar, Text: "true"}, {Line: 4, Kind: tree.Scalar, Text: "null"}}}},
		{"c", 5, &tree.Node{Line: 5, Kind: tree.Object}},
	}}, n)
	require.Nil(t, n.Get("d"))
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "line 1: the text ends too early",
		"{\n\n":                   "line 3: the text ends too early",
		"{\"a\": 1,\n\"a\": 2}":   `line 2: "a" is there twice`,
		"{\n\"a\": 1\n\"b\": 2}":  "line 3: invalid character '\"' after object key:value pair",
		"{}\n{}":                  "line 2: there is more after the end",
		"{\n\"a\": tru}":          "line 2: invalid character '}' in literal true (expecting 'e')",
		"\xff":                    "line 1: the text is not UTF-8",
		"{\n\"a\":\n\"\xff\"}":    "line 3: the text is not UTF-8",
		"[1,\n]":                  "line 2: invalid character ']' looking for beginning of value",
		strings.Repeat("[", 1000): "line 1: nested too deep",
		"}":                       "line 1: invalid character '}' looking for beginning of value",
	} {
		_, err := tree.ParseJSON([]byte(text))
		require.EqualError(t, err, want, text)
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":[1,{"b":null}]}`, `{"a":1,"a":2}`, "[", `"\ud800"`, "1e999", "\xff", "{]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := tree.ParseJSON(data)
		if err != nil {
			require.IsType(t, &tree.Error{}, err)
			return
		}
		require.Positive(t, n.Line)
	})
}
