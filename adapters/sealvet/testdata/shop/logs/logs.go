package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"

	"example.com/shop/store"
)

func rows(c store.Customer, m *store.Member, all []store.Customer, byID map[int64]store.Customer, list []*store.Customer, page store.Page[store.Customer], p store.Plain, ptrs store.Pointers) {
	fmt.Println(c)                    // want `^store.Customer.Email \(column email\) is shown in the clear by fmt.Println: leave it out, or give store.Customer a Format method$`
	fmt.Printf("%d: %+v\n", c.ID, &c) // want `fmt.Printf`
	fmt.Print(m)                      // want `Contact.Phone`
	log.Printf("%v", all)             // want `log.Printf`
	log.Fatal(byID)                   // want `log.Fatal`
	_ = fmt.Sprintf("%#v", page)      // want `fmt.Sprintf`
	_ = fmt.Sprint(any(c))            // want `fmt.Sprint`
	_ = fmt.Appendf(nil, "%v", c)     // want `fmt.Appendf`
	fmt.Fprintln(io.Discard, c)       // want `fmt.Fprintln`
	_ = fmt.Errorf("customer %v", c)  // want `fmt.Errorf`
	fmt.Printf("%[2]v %[1]d\n", 1, c) // want `fmt.Printf`
	fmt.Println(store.Rings{})        // want `store.Rings.Ring`
	fmt.Println(struct {              // want `Customer.Email`
		n int
		c store.Customer
	}{1, c})
	fmt.Println(struct { // want `struct.Mail \(column mail\) is shown in the clear by fmt.Println: leave it out, or mask it$`
		Mail string `db:"mail" seal:"encrypt"`
	}{"x"})
	args := []any{1, c}
	fmt.Println(args...) // want `Customer.Email`

	fmt.Printf("%T %p %[1]T\n", c, &c)
	fmt.Println(list, len(all), c.ID, p, ptrs, &ptrs) // of a pointer in a slice fmt prints the address
	fmt.Sscan("x", &c.Email)
	fmt.Println([1]store.Customer{c}) // want `Customer.Email`
	fmt.Println(page.Next, func() store.Customer { return c })
}

func fields(c *store.Customer, w io.Writer) error {
	fmt.Println("email:", c.Email)              // want `^store.Customer.Email \(column email\) is shown in the clear by fmt.Println: leave it out, or mask it$`
	fmt.Fprintf(os.Stderr, "%s\n", c.Email)     // want `Customer.Email`
	fmt.Println(*c.SSN)                         // want `Customer.SSN`
	log.Printf("%d %s", c.ID, c.Tags)           // want `Customer.Tags`
	log.Println("email " + c.Email)             // want `Customer.Email`
	log.Print(fmt.Sprintf("email %s", c.Email)) // want `Customer.Email \(column email\) is shown in the clear by log.Print`
	text := fmt.Sprintf("email %s", c.Email)
	log.Print(text)                     // want `Customer.Email`
	fmt.Printf("email " + c.Email)      // want `Customer.Email`
	log.Printf(text+" %d", c.ID)        // want `Customer.Email`
	_ = fmt.Sprintf("email " + c.Email) // a letter again
	if c.ID == 0 {
		return errors.New("no id: " + c.Email) // want `errors.New`
	}
	if c.ID == 1 {
		return fmt.Errorf("customer %q: %w", c.Email, io.EOF) // want `Customer.Email \(column email\) is shown in the clear by fmt.Errorf`
	}
	_ = fmt.Sprintf("Dear %s", c.Email) // a letter to the customer
	fmt.Fprintf(w, "<td>%s</td>", c.Email)
	fmt.Fprintf(io.Discard, "<td>%s</td>", c.Email)
	fmt.Println(c.SSN, c.Name, len(c.Email), c.PAN[12:]) // the address of SSN
	fmt.Printf("%T %d", c.Email, c.ID)
	fmt.Println(io.EOF.Error())
	return nil
}

func builtins(c store.Customer, n int) {
	println("new", c.Email) // want `^store.Customer.Email \(column email\) is shown in the clear by println: leave it out, or mask it$`
	print(c.Email)          // want `by print:`
	switch n {
	case 0:
		panic("no " + c.Email) // want `^store.Customer.Email \(column email\) is shown in the clear by panic: leave it out, or mask it$`
	case 1:
		panic(fmt.Sprintf("no %s", c.Email)) // want `by panic`
	case 2:
		panic(c) // want `by panic: leave it out, or give store.Customer a Format method$`
	case 3:
		panic(fmt.Errorf("no %s", c.Email)) // want `by fmt.Errorf`
	case 4:
		panic(c.ID)
	}
	println(&c, c.ID, c.SSN, len(c.Email))
}

func builders(c store.Customer) {
	var b strings.Builder
	fmt.Fprintf(&b, "no %s", c.Email)
	log.Print(b.String()) // want `by log.Print`
	var b5, b6 strings.Builder
	io.WriteString(&b5, c.Email)
	log.Print(b5.String()) // want `by log.Print`
	b6.Write([]byte(c.Email))
	log.Print(b6.String()) // want `by log.Print`
	b2 := new(bytes.Buffer)
	b2.WriteString(c.Email)
	slog.Info(b2.String()) // want `by slog.Info`
	var b3 strings.Builder
	b3.WriteString("no ")
	fmt.Fprint(&b3, c.ID)
	log.Print(b3.String())
	b3.WriteString(c.Email)
	b3.Reset()
	log.Print(b3.String())
	var b4 strings.Builder
	b4.WriteString(c.Email)
	change(&b4)
	log.Print(b4.String())
}

func ranges(c store.Customer, all []store.Customer) {
	for _, tag := range c.Tags {
		log.Print("tag " + tag) // want `Customer.Tags`
	}
	for i, name := range []string{c.Name} {
		log.Print(i, name)
	}
	for _, r := range c.Email {
		log.Print(r == '@')
	}
	for key, value := range map[string]string{"email": c.Email} {
		log.Print(key)
		log.Print(value) // want `Customer.Email`
	}
	for _, c := range all {
		log.Print(c.ID, len(c.Email))
		log.Print(c)       // want `Customer.Email`
		log.Print(c.Email) // want `Customer.Email`
	}
	for i := range len(c.Tags) {
		log.Print(i)
	}
}

func change(*strings.Builder) {}

func slogs(ctx context.Context, logger *slog.Logger, c store.Customer, list []*store.Customer, ptrs store.Pointers) {
	slog.Info("new", "customer", c)                                            // want `^store.Customer.Email \(column email\) is shown in the clear by slog.Info: leave it out, or give store.Customer a LogValue method$`
	slog.Info("new", "email", c.Email)                                         // want `^store.Customer.Email \(column email\) is shown in the clear by slog.Info: leave it out, or mask it$`
	slog.Info("new "+c.Email, "id", c.ID)                                      // want `slog.Info`
	logger.ErrorContext(ctx, "new", slog.Any("customer", &c))                  // want `slog.Any`
	logger.LogAttrs(ctx, slog.LevelInfo, "new", slog.String("email", c.Email)) // want `slog.String`
	logger.With("customer", list).Info("new")                                  // want `slog.Logger.With`
	slog.Info("new", slog.Group("customer", "ssn", c.SSN))                     // want `slog.Group`
	slog.Info("new", slog.Time("born", c.Born))                                // want `Customer.Born`
	_ = slog.AnyValue(c)                                                       // want `slog.AnyValue`
	args := []any{"customer", c}
	slog.Info("new", args...)                                      // want `slog.Info`
	slog.Info("new", "customer", map[string]any{"email": c.Email}) // want `Customer.Email`
	slog.Info("new", "id", c.ID, "n", len(c.Email), "ptrs", ptrs)
}

func redacted(logger *slog.Logger, q store.Quiet, l store.Logged, n store.Named, p store.ByPointer, a store.Account, v store.Vault) {
	fmt.Println(q, &q, n, &p, a.Secret, v)
	fmt.Printf("%s %v %x\n", n, n, n)
	slog.Info("x", "quiet", q, "logged", l, "loggedPointer", &l, "secret", a.Secret, "vault", v)

	fmt.Println(l)                              // want `Logged.Email`
	fmt.Printf("%#v", n)                        // want `Named.Email`
	fmt.Printf("%d", n)                         // want `Named.Email`
	fmt.Println(p)                              // want `ByPointer.Email`
	slog.Info("x", "named", n)                  // want `Named.Email`
	slog.Info("x", "logged", []store.Logged{l}) // want `Logged.Email \(column email\) is shown in the clear by slog.Info: leave it out, or mask it$`
	fmt.Println(a)                              // want `Account.Address`
	fmt.Println(a.Address)                      // want `Account.Address`
	fmt.Println(a.Address.String())             // want `Account.Address`
	fmt.Println(struct{ q store.Quiet }{q})     // want `Quiet.Email`
}

func loops(tree store.Tree, lists store.Lists, loop store.Loop) {
	fmt.Println(&tree)                               // want `Tree.Email`
	fmt.Println(tree.Lists)                          // want `Tree.Lists`
	slog.Info("x", "tree", []*store.Tree{tree.Left}) // want `Tree.Email`
	slog.Info("x", "lists", lists, "loop", loop)
	fmt.Println(lists, loop, strings.Map(func(rune) rune { return '*' }, tree.Email))
}

func arrays(p *store.Place) {
	fmt.Println(p.Point) // want `Place.Point`
	fmt.Println(p)       // want `Place.Address`
	fmt.Println([]*store.Place{p})
	slog.Info("x", "points", p.Point[0]) // want `Place.Point`
}

func amounts(a store.Amounts) {
	slog.Info("x", "hushed", a.Hushed)
	fmt.Println(a.Hushed)        // want `Amounts.Hushed`
	fmt.Println(a.Sum)           // want `Amounts.Sum`
	fmt.Println(a.Sum.String())  // want `Amounts.Sum`
	slog.Info("x", "sum", a.Sum) // want `Amounts.Sum`
}
