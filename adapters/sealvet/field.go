package sealvet

import (
	"fmt"
	"go/ast"
	"go/types"
	"reflect"
	"strings"
	"unicode"
)

// sqlfieldPath is the package whose types seal themselves.
const sqlfieldPath = "github.com/sealfield/sealfield/adapters/sqlfield"

// field is a struct field whose column is sealed.
type field struct {
	owner  types.Type // the struct that declares it
	of     string     // its name
	name   string
	column string
	typ    types.Type
	tag    reflect.StructTag
}

func (f *field) String() string {
	return fmt.Sprintf("%s.%s (column %s)", f.of, f.name, f.column)
}

// tagged returns field i of a struct if it has a seal tag and a type that does
// not seal itself.
func (c *checker) tagged(owner types.Type, st *types.Struct, i int) *field {
	f := c.fieldOf(owner, st, i)
	word, _, _ := strings.Cut(f.tag.Get("seal"), ",")
	if word != "encrypt" && !strings.HasPrefix(word, "token=") || f.tag.Get("db") == "-" || sealsItself(f.typ) {
		return nil
	}
	return f
}

// fieldOf returns any field of a struct.
func (c *checker) fieldOf(owner types.Type, st *types.Struct, i int) *field {
	v, tag := st.Field(i), reflect.StructTag(st.Tag(i))
	column, _, _ := strings.Cut(tag.Get("db"), ",")
	if column == "" {
		column = gormColumn(tag)
	}
	if column == "" {
		column, _, _ = strings.Cut(tag.Get("bun"), ",")
	}
	if column == "" {
		column = snake(v.Name())
	}
	return &field{owner: owner, of: c.typeName(owner), name: v.Name(), column: column, typ: v.Type(), tag: tag}
}

const unnamedStruct = "struct"

// typeName returns the name of a type as one writes it in the package.
func (c *checker) typeName(t types.Type) string {
	t = deref(t)
	if _, ok := types.Unalias(t).(*types.Named); !ok {
		return unnamedStruct
	}
	return types.TypeString(t, func(p *types.Package) string {
		if p == c.pass.Pkg {
			return ""
		}
		return p.Name()
	})
}

// selected returns the field that a selector reads, or reads a part of, if accept
// does.
func (c *checker) selected(sel *ast.SelectorExpr, accept acceptor) *field {
	s := c.info.Selections[sel]
	if s == nil || s.Kind() != types.FieldVal {
		return nil
	}
	t := s.Recv()
	for _, i := range s.Index() {
		st := structOf(t)
		if st == nil {
			return nil
		}
		if f := accept(t, st, i); f != nil {
			return f
		}
		t = st.Field(i).Type()
	}
	if x, ok := ast.Unparen(sel.X).(*ast.SelectorExpr); ok {
		return c.selected(x, accept)
	}
	return nil
}

// acceptor returns field i of a struct, or nil if it is not of the kind that is
// looked for.
type acceptor func(owner types.Type, st *types.Struct, i int) *field

// sealed returns field i of a struct if its column is sealed, be it by its tag
// or by its type.
func (c *checker) sealed(owner types.Type, st *types.Struct, i int) *field {
	if sealsItself(st.Field(i).Type()) {
		return c.fieldOf(owner, st, i)
	}
	return c.tagged(owner, st, i)
}

// fields returns those of a struct that are tagged, with those of the structs
// that are embedded in it.
func (c *checker) fields(t types.Type) (found []*field) {
	c.eachField(t, func(owner types.Type, st *types.Struct, i int) {
		if f := c.tagged(owner, st, i); f != nil {
			found = append(found, f)
		}
	})
	return found
}

// sealedColumn returns the field whose sealed column a map or statement of GORM
// calls name.
func (c *checker) sealedColumn(t types.Type, name string) (found *field) {
	c.eachField(t, func(owner types.Type, st *types.Struct, i int) {
		f := c.sealed(owner, st, i)
		if f != nil && (name == f.name || name == f.column || name == gormColumn(f.tag) || name == snake(f.name)) {
			found = f
		}
	})
	return found
}

// eachField calls visit for the fields of a struct and of those embedded in it.
func (c *checker) eachField(t types.Type, visit func(owner types.Type, st *types.Struct, i int)) {
	seen := make(map[*types.Struct]bool)
	var walk func(t types.Type)
	walk = func(t types.Type) {
		st := structOf(t)
		if st == nil || seen[st] {
			return
		}
		seen[st] = true
		for i := range st.NumFields() {
			visit(t, st, i)
			if st.Field(i).Embedded() {
				walk(st.Field(i).Type())
			}
		}
	}
	walk(t)
}

// sealsItself tells whether t is a type of package sqlfield, or embeds one.
func sealsItself(t types.Type) bool {
	for range maxDepth { // type T struct{ *T } embeds without end
		named, ok := types.Unalias(deref(t)).(*types.Named)
		if ok && pathOf(named.Obj()) == sqlfieldPath {
			return true
		}
		st := structOf(t)
		if st == nil || st.NumFields() != 1 || !st.Field(0).Embedded() {
			return false
		}
		t = st.Field(0).Type()
	}
	return false
}

// rowType returns the struct that t is a row, or rows, of: by value, pointer,
// slice or array; otherwise nil.
func rowType(t types.Type) types.Type {
	for range 8 {
		switch u := t.Underlying().(type) {
		case *types.Struct:
			return t
		case *types.Pointer:
			t = u.Elem()
		case *types.Slice:
			t = u.Elem()
		case *types.Array:
			t = u.Elem()
		default:
			return nil
		}
	}
	return nil
}

func deref(t types.Type) types.Type {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

// structOf returns the struct that t is, or points to, or nil.
func structOf(t types.Type) *types.Struct {
	st, _ := deref(t).Underlying().(*types.Struct)
	return st
}

// gormColumn returns the column that a gorm tag names.
func gormColumn(tag reflect.StructTag) string {
	for setting := range strings.SplitSeq(tag.Get("gorm"), ";") {
		if key, value, _ := strings.Cut(setting, ":"); strings.EqualFold(strings.TrimSpace(key), "column") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// snake returns the column that ORMs make of a field's name: CustomerID is
// customer_id.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			if !unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
