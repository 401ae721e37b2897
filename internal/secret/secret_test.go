package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/secret"
)

func TestNothingPrintsIt(t *testing.T) {
	key := []byte("0123456789abcdefSECRET")
	s := secret.New(bytes.Clone(key))
	holder := struct {
		S secret.Bytes
		P *secret.Bytes
	}{s, &s}
	var out bytes.Buffer
	for _, v := range []any{s, &s, holder, &holder, []any{s}, map[string]any{"s": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		text, err := json.Marshal(v)
		if err == nil {
			out.Write(text)
		}
		gob.NewEncoder(&out).Encode(v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	require.NotEmpty(t, out.String())
	for _, form := range []string{string(key), hex.EncodeToString(key), strings.Trim(fmt.Sprint(key), "[]")} {
		require.NotContains(t, out.String(), form)
	}
	require.Equal(t, key, s.Expose(), "the control")
}

func TestWipe(t *testing.T) {
	b := []byte("key")
	s := secret.New(b)
	copied := s
	s.Wipe()
	require.Equal(t, []byte{0, 0, 0}, b)
	require.Nil(t, copied.Expose())
	s.Wipe()
	require.Nil(t, secret.Bytes{}.Expose())
	secret.Bytes{}.Wipe()
}
