package mask_test

import (
	"context"
	"fmt"
	"regexp"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

// openExample opens a keyring that lives as long as the example. (With a new keyring
// every time, results would never join: keep it where the other keys are.)
func openExample() *keyring.Keyring {
	kr, err := keyring.Create(context.Background(), keyring.Config{Name: "test-data", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{keyringtest.NewKMS()}})
	if err != nil {
		panic(err)
	}
	return kr
}

// One address in two tables becomes one other address, in this epoch.
func Example() {
	ctx := context.Background()
	kr := openExample()
	defer kr.Close()
	m, _ := mask.New(ctx, kr, mask.Config{Epoch: "2026-q4"})
	customers, _ := m.Rule("email,domain=customer.email")
	orders, _ := m.Rule("email,domain=customer.email")
	a, _ := customers.Append(nil, []byte("ann@example.com"), nil)
	b, _ := orders.Append(nil, []byte("ann@example.com"), nil)
	fmt.Println(string(a) == string(b), regexp.MustCompile(`^\w{16}@\w{8}\.example$`).Match(a))

	next, _ := mask.New(ctx, kr, mask.Config{Epoch: "2027-q1"})
	c, _ := next.Mask("email,domain=customer.email", "ann@example.com")
	fmt.Println(string(a) == c, m.Check() == next.Check())

	_, _ = customers.Append(nil, []byte("none given"), nil)
	fmt.Println(customers.Fallbacks(), "did not fit")
	// Output:
	// true true
	// false false
	// 1 did not fit
}

// What people may see of values, on screens and in logs. There is no key and no way
// back.
func ExampleKeep() {
	fmt.Println(mask.Keep("Jonathan", 2, 0), mask.Keep("Jo", 2, 0), mask.Full("secret"))
	fmt.Println(mask.PAN("4111 1111 1111 1111"), mask.PAN("n/a"))
	// Output:
	// Jo****** *** ***
	// 4111 11** **** 1111 ***
}

// A log line of a struct whose tags need no key.
func ExampleJSON() {
	type login struct {
		User string `json:"user" mask:"partial,first=2"`
		Card string `json:"card" mask:"pan-display"`
		From string `json:"from" mask:"keep"`
	}
	line, _ := mask.JSON(login{"jonathan", "4111111111111111", "web"})
	fmt.Println(string(line))
	// Output: {"user":"jo******","card":"411111******1111","from":"web"}
}

// Dates of one subject move together, and its columns agree.
func ExampleNewStruct() {
	type patient struct {
		ID    string `mask:"subject,token"`
		Name  string `mask:"name"`
		Born  string `mask:"date"`
		Admit string `mask:"date"`
		Note  string `mask:"text"`
	}
	kr := openExample()
	defer kr.Close()
	m, _ := mask.New(context.Background(), kr, mask.Config{})
	patients, err := mask.NewStruct[patient](m)
	if err != nil {
		panic(err)
	}
	p, err := patients.Mask(patient{"7", "Ann Smith", "1990-05-17", "2024-02-29", "Ann Smith slept well."})
	fmt.Println(err, p.Note == p.Name+" slept well.", p.Born != "1990-05-17")
	// Output: <nil> true true
}

// A policy names every column. Its mistakes are found before a row is read.
func ExampleParsePolicy() {
	_, err := mask.ParsePolicy([]byte(`{
		"version": 1,
		"tables": {"customers": {"columns": {
			"email": "emial",
			"card": {"rule": "pan", "kep": "last4"}
		}}}}`))
	fmt.Println(err)
	// Output:
	// mask: line 5: tables.customers.columns.card.kep: rule pan has no such parameter; did you mean "keep"?
	// mask: line 4: tables.customers.columns.email: there is no rule "emial"; did you mean "email"?
}

// What stays visible, and what somebody can do who knows the domain's size.
func ExampleRule_Explain() {
	kr := openExample()
	defer kr.Close()
	m, _ := mask.New(context.Background(), kr, mask.Config{})
	card, _ := m.Rule("pan,domain=card")
	fmt.Print(card.Explain(1_000_000))
	age, _ := m.Rule("age,top=90")
	fmt.Print(age.Explain(1_000_000))
	// Output:
	// pan,domain=card
	//   takes        card numbers of 12 (with keep=bin6, 13) to 19 digits with a right check digit, the first not 0
	//   visible      the first six digits; the number of digits; where spaces and - . / ( ) are; which values are equal, and so how often each occurs
	//   hidden       the value is one of 1 million (2^19.9) that look the same, or more
	//   without key  no guess can be tested; who knows how often values occur finds the frequent ones, and one known pair shows every row with that value; who can have 1 million values of his own masked has a table of all
	//   with key     the value can be computed
	//   different    stay different, always; others may become equal
	//   others       another text of the same shape, counted
	// age,top=90
	//   takes        whole years from 0 to 150
	//   visible      ages below 90 as they are, and that one is 90 or more
	//   hidden       nothing that can be promised for every value
	//   without key  there is no key: everybody sees this much, and nobody more
	//   different    become equal: of 1000000 different values expect some that are
	//   others       NULL, counted
}
