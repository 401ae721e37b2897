package sqlitetest

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"maps"
	"strings"
	"testing"
	"text/template"

	"github.com/davecgh/go-spew/spew"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/leaktest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// marker is what must not be seen, in none of its forms. It has no digits, which could
// stand in an address by chance.
const marker = "MarkerQuizJynxVow"

// forms are what printers make of it.
var forms = func() []string {
	all := leaktest.Forms([]byte(marker))
	for _, verb := range []string{"%b", "%o", "%c", "%U", "%q", "% X", "%#x", "%#X", "%# x", "%# X"} {
		all = append(all, strings.Trim(fmt.Sprintf(verb, []byte(marker)), "[]"))
	}
	return all
}()

func found(output string) bool {
	for _, f := range forms {
		if strings.Contains(output, f) {
			return true
		}
	}
	return false
}

// ways are the ways to print a value: those of all packages' tests, spew, and each verb
// and flag of fmt by itself.
var ways = func() map[string]func(v any) string {
	all := maps.Clone(leaktest.Printers)
	all["log"] = func(v any) string {
		var b bytes.Buffer
		log.New(&b, "", 0).Println(v)
		return b.String()
	}
	all["template"] = func(v any) string {
		var b bytes.Buffer
		err := template.Must(template.New("").Parse("{{.}}")).Execute(&b, v)
		return b.String() + fmt.Sprint(err)
	}
	all["spew"] = func(v any) string { return spew.Sdump(v) + spew.Sprintf("%v %+v %#v %#+v", v, v, v, v) }
	all["spew without methods"] = func(v any) string {
		c := spew.ConfigState{DisableMethods: true, Indent: " "}
		return c.Sdump(v) + c.Sprintf("%v %+v %#v %#+v", v, v, v, v)
	}
	for verb := 'A'; verb <= 'z'; verb++ {
		for _, flags := range []string{"", "+", "#", "-40", " ", "0", "+#", ".3", "# "} {
			format := "%" + flags + string(verb)
			all[format] = func(v any) string { return fmt.Sprintf(format, v) }
		}
	}
	return all
}()

// open shows what it holds, and is the control.
type open[T any] struct{ V T }

// Markers of other types than text.
type (
	Bytes  struct{}
	Struct struct{}
	Map    struct{}
	secret struct{ Marker string }
)

var (
	bytesColumn  *sqlfield.Column[[]byte]
	structColumn *sqlfield.Column[secret]
	mapColumn    *sqlfield.Column[map[string]string]
)

func (Bytes) Column() *sqlfield.Column[[]byte]          { return bytesColumn }
func (Struct) Column() *sqlfield.Column[secret]         { return structColumn }
func (Map) Column() *sqlfield.Column[map[string]string] { return mapColumn }

type embedding struct {
	sqlfield.Sealed[string, Email]
}

// nests returns v in all that may stand around it.
func nests[V any](v V) map[string]any {
	type around struct {
		Name string
		V    V `xml:"v,attr"`
		P    *V
	}
	type hidden struct{ v V }
	return map[string]any{
		"value": v, "pointer": &v, "struct": around{"n", v, &v}, "pointer to struct": &around{"n", v, &v}, "hidden": hidden{v}, "slice": []V{v}, "array": [1]V{v},
		"map": map[string]V{"k": v}, "any": []any{v, &v}, "error": errors.Join(fmt.Errorf("%v %+v", v, &v)),
	}
}

// TestPrinting prints everything that may hold a value or be an error about it, in every
// way, and must not find the value; but, as a control, in what is open.
func TestPrinting(t *testing.T) {
	_, ctx := openDatabase(t)
	kr := keyringtest.NewKeyring(t)
	var err error
	bytesColumn, err = sqlfield.NewColumn[[]byte](kr, "t.bytes", sqlfield.Config{})
	require.NoError(t, err)
	structColumn, err = sqlfield.NewColumn[secret](kr, "t.struct", sqlfield.Config{})
	require.NoError(t, err)
	mapColumn, err = sqlfield.NewColumn[map[string]string](kr, "t.map", sqlfield.Config{})
	require.NoError(t, err)

	text := marker
	things := map[string]any{}
	add := func(name string, nests map[string]any) {
		for around, v := range nests {
			things[name+", "+around] = v
		}
	}
	in := customer{ID: 1, Email: sqlfield.Of[Email](marker), SSN: sqlfield.Of[SSN](&text), Note: sqlfield.Of[Note](marker)}
	raw, object, dict := sqlfield.Of[Bytes]([]byte(marker)), sqlfield.Of[Struct](secret{marker}), sqlfield.Of[Map](map[string]string{"k": marker})
	state := "pending"
	for range 2 {
		add(state+" row", nests(in))
		add(state+" text", nests(in.Email))
		add(state+" pointer", nests(in.SSN))
		add(state+" embedded", nests(embedding{in.Email}))
		add(state+" bytes", nests(raw))
		add(state+" struct", nests(object))
		add(state+" map", nests(dict))
		add(state+" tag", nests(in.EmailIdx))
		add(state+" fields", nests(sqlfield.Fields(&in)))
		require.NoError(t, sqlfield.Seal(ctx, in.place(), sqlfield.Fields(&in)...))
		require.NoError(t, sqlfield.Seal(ctx, crypto.Binding{}, &raw, &object, &dict))
		state = "sealed"
	}
	add("column", nests(email))
	add("index", nests(emailIdx))
	for i, err := range errorsWith(t, ctx, in) {
		require.Error(t, err, i)
		add(fmt.Sprint("error ", i), nests(err))
		for ; err != nil; err = errors.Unwrap(err) {
			add(fmt.Sprint("error ", i, " ", err), nests(err))
		}
	}
	// Printers that follow pointers would otherwise look into keyrings that work.
	keys.Close()
	kr.Close()
	n := 0
	for name, v := range things {
		for way, print := range ways {
			if way == "deep" && (strings.HasPrefix(name, "column") || strings.HasPrefix(name, "index")) {
				continue // that would go through the keyring, which is in use
			}
			output := print(v)
			require.False(t, found(output), "%s by %s: %.300q", name, way, output)
			n++
		}
	}

	// Each way shows an open text, or open bytes, somewhere.
	controls := 0
	for way, print := range ways {
		ok := false
		for _, nested := range []map[string]any{nests(marker), nests([]byte(marker)), nests(open[string]{marker}), nests(open[[]byte]{[]byte(marker)})} {
			for _, v := range nested {
				ok = ok || found(print(v))
			}
		}
		if verb := way[len(way)-1]; way[0] == '%' && (!strings.ContainsRune("sqvxXdoObcU", rune(verb)) || strings.Contains(way, ".3")) {
			continue // verbs that texts do not have show it inside of %!verb(...), or not at all
		}
		require.True(t, ok, "control: "+way)
		controls++
	}
	t.Logf("0 of %d printed things show a value, and %d ways that can show one did", n, controls)
}

// errorsWith returns errors of all calls that are given values.
func errorsWith(t *testing.T, ctx context.Context, in customer) (all []error) {
	add := func(err error) { all = append(all, err) }
	other := customer{ID: 2}
	_, err := in.SSN.OpenAt(ctx, other.place())
	add(err)
	add(sqlfield.Seal(ctx, other.place(), &in.SSN))
	var email2 sqlfield.Sealed[string, Email]
	var tag2 sqlfield.Tag[string, EmailIdx]
	for _, src := range []any{marker, []byte(marker), strings.Repeat(marker, 9), []byte(strings.Repeat(marker, 9)), open[string]{marker}} {
		add(email2.Scan(src))
		add(tag2.Scan(src))
	}
	bad := sqlfield.Of[Email](marker + "\x00\xff")
	add(sqlfield.Seal(ctx, other.place(), &bad, &tag2))
	good := sqlfield.Of[Email](marker)
	add(sqlfield.Seal(ctx, other.place(), &good))
	add(sqlfield.Seal(ctx, other.place(), &tag2))
	_, err = good.Value()
	add(err)
	_, err = emailIdx.Match(ctx, marker+"\xff", "")
	add(err)
	_, err = emailIdx.Tag(ctx, marker+"\xff", "")
	add(err)
	_, err = emailIdx.Match(ctx, marker, "no such scope")
	add(err)
	add(json.Unmarshal([]byte(`{"Email": "`+marker+`"}`), &customer{}))
	add(xml.Unmarshal([]byte(`<x><Email>`+marker+`</Email></x>`), &customer{}))
	wrongBytes := ciphertextOf(t, in.Note)
	var asInt sqlfield.Sealed[int, Visits]
	require.NoError(t, asInt.Scan(wrongBytes))
	_, err = asInt.Open(ctx)
	add(err)
	number, err := sqlfield.NewColumn[string](keyringtest.NewKeyring(t), "t.number", sqlfield.Config{Type: "numeric"})
	require.NoError(t, err)
	before := note
	note = number
	_, err = sqlfield.Of[Note](marker).Value()
	add(err)
	note = before
	_, err = email.NewIndex(token.IndexConfig{Kind: token.NGram})
	add(err)
	return all
}

func ciphertextOf[T any, C sqlfield.Marker[T]](t *testing.T, v sqlfield.Sealed[T, C]) []byte {
	value, err := v.Value()
	require.NoError(t, err)
	if text, ok := value.(string); ok {
		value, err = crypto.DecodeText(text)
		require.NoError(t, err)
	}
	return value.([]byte)
}
