package mask_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/mask"
)

type visit struct {
	On   time.Time `mask:"date"`
	Note string    `mask:"text,email=customer.email"`
}

type customer struct {
	ID     int64             `mask:"subject,int"`
	Name   string            `mask:"name"`
	Email  *string           `mask:"email,domain=customer.email"`
	Others []string          `mask:"email,domain=customer.email"`
	Labels map[string]string `mask:"shape"`
	Card   []byte            `mask:"pan"`
	Born   time.Time         `mask:"date"`
	Left   *time.Time        `mask:"date"`
	Host   netip.Addr        `mask:"ip"`
	Income float64           `mask:"noise"`
	Age    uint8             `mask:"age"`
	Score  *int              `mask:"null"`
	Plan   string            `mask:"keep"`
	Visits []*visit
	Last   visit
	secret string
}

func TestStruct(t *testing.T) {
	m := fixed()
	s, err := mask.NewStruct[customer](m)
	require.NoError(t, err)
	email, score := "ann@example.com", 7
	born := time.Date(1990, 5, 17, 0, 0, 0, 0, time.UTC)
	in := customer{
		ID: 42, Name: "Ann Smith", Email: &email, Others: []string{"bob@example.com", ""}, Labels: map[string]string{"a": "xyz"}, Card: []byte("4111111111111111"),
		Born: born, Host: netip.MustParseAddr("192.0.2.17"), Income: 1234.5, Age: 93, Score: &score, Plan: "gold",
		Visits: []*visit{{born.AddDate(30, 0, 0), "Ann Smith wrote from ann@example.com"}, nil}, Last: visit{born.AddDate(31, 0, 0), "Smith again"}, secret: "hidden",
	}
	out, err := s.Mask(in)
	require.NoError(t, err)

	require.Equal(t, apply(t, newRule(t, m, "int"), "42"), jsonOf(t, out.ID))
	require.Equal(t, apply(t, newRule(t, m, "name"), "Ann Smith"), out.Name)
	require.Equal(t, apply(t, newRule(t, m, "email,domain=customer.email"), email), *out.Email)
	require.Equal(t, []string{apply(t, newRule(t, m, "email,domain=customer.email"), "bob@example.com"), ""}, out.Others)
	require.Regexp(t, `^[a-z]{3}$`, out.Labels["a"])
	require.Equal(t, apply(t, newRule(t, m, "pan"), "4111111111111111"), string(out.Card))
	require.Equal(t, apply(t, newRule(t, m, "ip"), "192.0.2.17"), out.Host.String())
	require.EqualValues(t, 90, out.Age)
	require.Nil(t, out.Score)
	require.Nil(t, out.Left)
	require.Equal(t, "gold", out.Plan)
	require.Empty(t, out.secret)
	require.NotEqual(t, in.Income, out.Income)
	// The subject is 42, as in apply, for all dates.
	require.Equal(t, apply(t, newRule(t, m, "date"), "1990-05-17"), out.Born.Format(time.DateOnly))
	require.Equal(t, in.Visits[0].On.Sub(in.Born), out.Visits[0].On.Sub(out.Born))
	require.Equal(t, in.Last.On.Sub(in.Born), out.Last.On.Sub(out.Born))
	require.Nil(t, out.Visits[1])
	require.Equal(t, out.Name+" wrote from "+*out.Email, out.Visits[0].Note)
	require.Contains(t, out.Name, out.Last.Note[:len(out.Last.Note)-len(" again")])
	// Nothing is shared.
	require.Equal(t, "ann@example.com", *in.Email)
	require.Equal(t, "4111111111111111", string(in.Card))
	require.Equal(t, "bob@example.com", in.Others[0])
	require.Equal(t, "Ann Smith wrote from ann@example.com", in.Visits[0].Note)
}

func jsonOf(t *testing.T, v any) string {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

func TestJSONOfStructs(t *testing.T) {
	type login struct {
		User  string   `json:"user" mask:"partial,first=2"`
		Card  string   `json:"card,omitempty" mask:"pan-display"`
		Token []byte   `json:"token" mask:"null"`
		Tags  []string `json:"tags" mask:"redact"`
		At    int      `json:"at" mask:"keep"`
	}
	v := login{"jonathan", "4111111111111111", []byte("secret"), []string{"a", "b"}, 7}
	const want = `{"user":"jo******","card":"411111******1111","token":null,"tags":["***","***"],"at":7}`
	for _, given := range []any{v, &v} {
		out, err := mask.JSON(given)
		require.NoError(t, err)
		require.Equal(t, want, string(out))
	}
	out, err := mask.JSON([]login{v, {}})
	require.NoError(t, err)
	require.Equal(t, "["+want+`,{"user":"","token":null,"tags":null,"at":0}]`, string(out))
	out, err = mask.JSON((*login)(nil))
	require.NoError(t, err)
	require.Equal(t, "null", string(out))
	out, err = mask.JSON(nil)
	require.NoError(t, err)
	require.Equal(t, "null", string(out))
	_, err = mask.JSON(customer{})
	require.EqualError(t, err, "mask: mask_test.customer.ID: rule int needs keys; make the Masker by mask.New")
	for _, wrong := range []any{7, "x", map[string]string{}} {
		_, err := mask.JSON(wrong)
		require.ErrorContains(t, err, "is no struct")
	}
	m := fixed()
	for range 2 {
		out, err = m.JSON(customer{ID: 42, Name: "Ann Smith"})
		require.NoError(t, err)
		require.NotContains(t, string(out), "Ann")
	}
}

type loop struct{ Next []loop }

func TestStructErrors(t *testing.T) {
	m := fixed()
	check := func(err error, want string) {
		t.Helper()
		require.EqualError(t, err, want)
	}
	_, err := mask.NewStruct[struct{ A string }](m)
	check(err, `mask: struct { A string }.A: has no mask tag; write mask:"keep" if it may stay`)
	_, err = mask.NewStruct[loop](m)
	check(err, "mask: mask_test.loop contains itself")
	_, err = mask.NewStruct[struct {
		A string `mask:"emial"`
	}](m)
	require.ErrorContains(t, err, `.A: there is no rule "emial"; did you mean "email"?`)
	_, err = mask.NewStruct[struct {
		A int `mask:"email"`
	}](m)
	require.ErrorContains(t, err, ".A: rule email makes no int; use null, or a rule for that type")
	_, err = mask.NewStruct[struct {
		A time.Time `mask:"noise"`
	}](m)
	require.ErrorContains(t, err, ".A: rule noise makes no time.Time")
	_, err = mask.NewStruct[struct {
		A any `mask:"redact"`
	}](m)
	require.ErrorContains(t, err, ".A: interface {} can not be masked")
	_, err = mask.NewStruct[struct {
		A string `mask:"subject"`
		B string `mask:"subject"`
	}](m)
	require.ErrorContains(t, err, ".B: is a second subject")
	_, err = mask.NewStruct[struct {
		A visit `mask:"redact"`
	}](m)
	require.ErrorContains(t, err, ".A: mask_test.visit can not be masked; tag the fields of the struct")
	_, err = mask.NewStruct[int](m)
	check(err, "mask: int is no struct")
	_, err = mask.NewStruct[struct{ a int }](m)
	require.ErrorContains(t, err, "has no exported fields")

	// A value that does not fit its field is an error that does not show it.
	type small struct {
		A int8 `mask:"int,lo=1,hi=2000000"`
	}
	s, err := mask.NewStruct[small](m)
	require.NoError(t, err)
	_, err = s.Mask(small{7})
	check(err, "mask: mask_test.small.A: the result does not fit the field")
	type needs struct {
		A time.Time `mask:"date"`
	}
	n, err := mask.NewStruct[needs](m)
	require.NoError(t, err)
	_, err = n.Mask(needs{time.Unix(0, 0)})
	require.ErrorIs(t, err, mask.ErrSubject)
}
