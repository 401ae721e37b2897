// Package leaktest prints values in every way in which they could end up in a log, a
// message or the output of a test, and looks for secrets in what comes out.
package leaktest

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Check requires that no printer shows any six bytes of a secret, in whatever form,
// and that each shows all of them of what holds them carelessly. Nothing may write to
// the values meanwhile.
func Check(t testing.TB, secrets map[string][]byte, values map[string]any) {
	t.Helper()
	require.NotEmpty(t, secrets)
	require.NotEmpty(t, values)
	spellings := map[string][]string{}
	for name, secret := range secrets {
		require.GreaterOrEqual(t, len(secret), 12, name)
		spellings[name] = Forms(secret)
	}
	found := func(text string) (what string) {
		for name, forms := range spellings {
			for _, form := range forms {
				if strings.Contains(text, form) {
					return name
				}
			}
		}
		return ""
	}
	printed := 0
	for how, print := range Printers {
		for name, v := range values {
			text := print(v)
			require.Empty(t, found(text), "%s shows it of %s", how, name)
			printed += len(text)
		}
		for name, secret := range secrets {
			require.NotEmpty(t, found(print(careless(secret))), "the control of %s fails for %s", how, name)
		}
	}
	t.Logf("%d values, %d printers, %d secrets, %d bytes of output", len(values), len(Printers), len(secrets), printed)
}

// careless shows a secret to every printer.
func careless(secret []byte) any {
	return struct {
		XMLName struct{} `xml:"x"`
		X       []byte
		H       string // xml replaces what is no text in X
		y       *struct{ z []byte }
	}{X: secret, H: hex.EncodeToString(secret), y: &struct{ z []byte }{secret}}
}

// Forms are the spellings in which some bytes of a secret could show up.
func Forms(secret []byte) []string {
	var all []string
	for i := 0; i+12 <= len(secret); i++ {
		all = append(all, base64.StdEncoding.EncodeToString(secret[i:i+12]), base64.URLEncoding.EncodeToString(secret[i:i+12]))
	}
	for i := 0; i+6 <= len(secret); i++ {
		part := secret[i : i+6]
		list := strings.Trim(fmt.Sprint(part), "[]")
		all = append(all, string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)), fmt.Sprintf("% x", part),
			list, strings.ReplaceAll(list, " ", ", "), strings.ReplaceAll(list, " ", ","), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"))
	}
	return all
}

// Printers are the ways in which a value can be shown. Each returns what it can show
// of v. That of testify prints with its copy of spew.
var Printers = map[string]func(v any) string{
	"fmt": func(v any) string {
		var s strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "% x", "%q", "%d", "%o", "%b", "%c", "%T", "%p"} {
			fmt.Fprintf(&s, verb+"\n", v)
			fmt.Fprintf(&s, verb+"\n", []any{v, &v, map[string]any{"k": v}, struct{ X any }{v}})
		}
		return s.String()
	},
	"slog": func(v any) string {
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).Error("m", "v", v, slog.Group("g", "v", []any{v}))
		}
		return b.String()
	},
	"json": func(v any) string {
		b, err := json.Marshal(map[string]any{"v": v})
		return string(b) + fmt.Sprint(err)
	},
	"xml": func(v any) string {
		b, err := xml.Marshal(v)
		return string(b) + fmt.Sprint(err)
	},
	"gob": func(v any) string {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.String() + fmt.Sprint(err)
	},
	"testify": func(v any) string {
		var t failed
		assert.Equal(&t, reflect.New(reflect.TypeOf(v)).Elem().Interface(), v)
		assert.Nil(&t, v)
		return t.String()
	},
	"deep": Deep,
}

type failed struct{ strings.Builder }

func (t *failed) Errorf(format string, args ...any) { fmt.Fprintf(t, format, args...) }

// Deep returns every byte and string that reflection reaches from v, through
// unexported fields too.
func Deep(v any) string {
	var s strings.Builder
	walk(&s, reflect.ValueOf(v), map[uintptr]bool{})
	return s.String()
}

func walk(s *strings.Builder, v reflect.Value, seen map[uintptr]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return
		}
		seen[v.Pointer()] = true
		walk(s, v.Elem(), seen)
	case reflect.Interface:
		if !v.IsNil() {
			walk(s, v.Elem(), seen)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(s, v.Field(i), seen)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			walk(s, it.Key(), seen)
			walk(s, it.Value(), seen)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			for i := range v.Len() {
				s.WriteByte(byte(v.Index(i).Uint()))
			}
			s.WriteByte('\n')
			return
		}
		for i := range v.Len() {
			walk(s, v.Index(i), seen)
		}
	case reflect.String:
		s.WriteString(v.String())
		s.WriteByte('\n')
	case reflect.Uint32: // a key schedule
		fmt.Fprintf(s, "%c%c%c%c", byte(v.Uint()>>24), byte(v.Uint()>>16), byte(v.Uint()>>8), byte(v.Uint()))
	}
}
