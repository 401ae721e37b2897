package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/sealfield/sealfield"

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath string
	Name       string
	Imports    []string // without those of tests
}

func (p goPackage) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// mayImport says which other packages of the module a package may import: the
// first rule that matches counts. "x" is x alone, "x/..." also what is below
// it. All may import internal/..., which imports only its like, but for fpe, which
// is what token and mask share over FF1, and for ormtest, which is for tests.
var mayImport = []struct{ from, to string }{
	{"internal/fpe", "token/ff1"},
	{"internal/ormtest", "token keyring keyring/keyringtest"},
	{"internal/...", ""},
	{"keyring", ""},
	{"keyring/...", "keyring"},
	{"crypto/...", "keyring"},
	{"token/ff1", ""},
	{"token/...", "token token/ff1 crypto keyring"},
	{"mask/...", "mask keyring token/ff1"},
	{"adapters/pgxstore", "crypto token mask keyring"},
	{"adapters/pgxfield", "adapters/pgxstore crypto token mask keyring"},
	{"adapters/pgxmask", "adapters/pgxstore adapters/pgxfield crypto token mask keyring"},
	{"adapters/sealvet/...", "adapters/sealvet"},
	{"adapters/sqlfield", "adapters/pgxstore adapters/pgxfield crypto token mask keyring"},
	{"adapters/slogfield", "crypto"},
}

// onlyIn says which packages may import others, of this module or not. Commands
// below internal are no library, and are asked only about pgtest.
var onlyIn = []struct{ imported, from string }{
	{"github.com/aws/...", "keyring/awskms adapters/..."},
	{"github.com/jackc/pgx/...", "adapters/pgxstore/... adapters/pgxfield/... adapters/pgxmask/... adapters/sqlfield/... internal/ormtest internal/pgtest internal/pgsql internal/sealform"},
	{"github.com/stretchr/testify/...", "keyring/keyringtest token/tokentest internal/leaktest internal/ormtest"},
	{"go.yaml.in/...", "mask/maskyaml adapters/pgxmask"},
	{"golang.org/x/tools/...", "adapters/sealvet/..."},
	{module + "/keyring/keyringtest", "internal/ormtest"},
	{module + "/token/tokentest", ""},
	{module + "/internal/pgtest", "internal/pgtest/withpg internal/ormtest"},
	{module + "/internal/leaktest", ""},
}

func TestImports(t *testing.T) {
	packages := list(t)
	require.Greater(t, len(packages), 5)
	for _, p := range packages {
		for _, imported := range p.Imports {
			require.NoError(t, check(p, imported))
		}
	}
}

// TestCheck proves that the rules can say no.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		from, name, imported string
		ok                   bool
	}{
		{"keyring", "keyring", module + "/internal/pae", true},
		{"keyring", "keyring", module + "/keyring/localkms", false},
		{"keyring/localkms", "localkms", module + "/keyring", true},
		{"keyring/localkms", "localkms", module + "/crypto", false},
		{"keyring", "keyring", module + "/crypto", false},
		{"crypto", "crypto", module + "/token", false},
		{"crypto", "crypto", module + "/keyring", true},
		{"crypto", "crypto", "github.com/jackc/pgx/v5", false},
		{"token", "token", module + "/token/ff1", true},
		{"token/ff1", "ff1", module + "/keyring", false},
		{"mask", "mask", module + "/token", false},
		{"mask", "mask", module + "/token/ff1", true},
		{"mask", "mask", "go.yaml.in/yaml/v3", false},
		{"mask/maskyaml", "maskyaml", "go.yaml.in/yaml/v3", true},
		{"adapters/pgxstore", "pgxstore", module + "/adapters/pgxfield", false},
		{"adapters/pgxfield", "pgxfield", module + "/adapters/pgxstore", true},
		{"adapters/pgxfield", "pgxfield", "github.com/jackc/pgx/v5", true},
		{"adapters/pgxmask", "pgxmask", module + "/mask", true},
		{"adapters/pgxmask", "pgxmask", module + "/mask/maskyaml", false},
		{"adapters/slogfield", "slogfield", module + "/crypto", true},
		{"adapters/slogfield", "slogfield", module + "/adapters/pgxfield", false},
		{"adapters/slogfield", "slogfield", "github.com/jackc/pgx/v5", false},
		{"adapters/sealvet", "sealvet", "golang.org/x/tools/go/analysis", true},
		{"adapters/sealvet", "sealvet", module + "/adapters/pgxfield", false},
		{"adapters/sealvet/cmd/sealvet", "main", module + "/adapters/sealvet", true},
		{"adapters/pgxfield", "pgxfield", "golang.org/x/tools/go/analysis", false},
		{"internal/pae", "pae", module + "/keyring", false},
		{"internal/pae", "pae", module + "/token/ff1", false},
		{"internal/fpe", "fpe", module + "/token/ff1", true},
		{"internal/fpe", "fpe", module + "/token", false},
		{"internal/bench", "main", module + "/crypto", true},
		{"internal/bench", "main", module + "/internal/pgtest", false},
		{"internal/pgtest/withpg", "main", module + "/internal/pgtest", true},
		{"keyring", "keyring", module + "/internal/leaktest", false},
		{"internal/ormtest", "ormtest", module + "/internal/pgtest", true},
		{"internal/ormtest", "ormtest", module + "/adapters/sqlfield", false},
		{"adapters/sqlfield", "sqlfield", module + "/internal/pgtest", false},
		{"keyring", "keyring", "github.com/stretchr/testify/require", false},
		{"keyring/keyringtest", "keyringtest", "github.com/stretchr/testify/require", true},
		{"token/tokentest", "tokentest", "github.com/stretchr/testify/require", true},
		{"token/tokentest", "tokentest", module + "/keyring/keyringtest", false},
		{"adapters/pgxstore", "pgxstore", module + "/token/tokentest", false},
		{"keyring/localkms", "localkms", "github.com/aws/aws-sdk-go-v2/service/kms", false},
		{"keyring/awskms", "awskms", "github.com/aws/aws-sdk-go-v2/service/kms", true},
		{"crypto", "crypto", module + "/keyring/keyringtest", false},
		{"elsewhere", "elsewhere", module + "/keyring", false},
	} {
		err := check(goPackage{ImportPath: module + "/" + c.from, Name: c.name}, c.imported)
		require.Equal(t, c.ok, err == nil, "%s imports %s", c.from, c.imported)
	}
}

// check says why a package may not import another one.
func check(p goPackage, imported string) error {
	command := p.Name == "main" && match("internal/...", p.path())
	for _, rule := range onlyIn {
		if command && !strings.HasSuffix(rule.imported, "/pgtest") {
			continue
		}
		if match(rule.imported, imported) && !match(rule.from, p.path()) {
			return fmt.Errorf("%s imports %s, which only these may: %q", p.ImportPath, imported, rule.from)
		}
	}
	target, ours := strings.CutPrefix(imported, module+"/")
	if !ours || command || match("internal/...", target) {
		return nil
	}
	for _, rule := range mayImport {
		if match(rule.from, p.path()) {
			if match(rule.to, target) {
				return nil
			}
			return fmt.Errorf("%s imports %s, but may import only internal/... and %q", p.ImportPath, imported, rule.to)
		}
	}
	return fmt.Errorf("%s: no rule says what it may import", p.ImportPath)
}

// match reports whether path is one of the patterns.
func match(patterns, path string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(pattern string) bool {
		root, all := strings.CutSuffix(pattern, "/...")
		return path == root || all && strings.HasPrefix(path, root+"/")
	})
}

func list(t *testing.T) (packages []goPackage) {
	d := json.NewDecoder(strings.NewReader(run(t, "list", "-json=ImportPath,Name,Imports", module+"/...")))
	for {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		if !match("examples/...", p.path()) {
			packages = append(packages, p)
		}
	}
}

// TestGoMod keeps the go line and the direct requirements of the root module
// from changing by accident.
func TestGoMod(t *testing.T) {
	allowed := []string{
		"github.com/tink-crypto/tink-go/v2", "github.com/aws/aws-sdk-go-v2", "github.com/aws/aws-sdk-go-v2/service/kms",
		"github.com/jackc/pgx/v5", "github.com/stretchr/testify", "golang.org/x/text",
	}
	var mod struct {
		Go        string
		Toolchain string
		Tool      []struct{ Path string }
		Require   []struct {
			Path     string
			Indirect bool
		}
		Replace []struct{ Old struct{ Path string } }
	}
	require.NoError(t, json.Unmarshal([]byte(run(t, "mod", "edit", "-json", "../../go.mod")), &mod))
	require.Equal(t, "1.26.0", mod.Go, "the oldest release that is supported")
	require.Empty(t, mod.Toolchain)
	require.Empty(t, mod.Tool)
	require.Empty(t, mod.Replace)
	for _, r := range mod.Require {
		if !r.Indirect {
			require.Contains(t, allowed, r.Path, "a new direct requirement")
		}
	}
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", args...).Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		require.NoError(t, err, string(e.Stderr))
	}
	require.NoError(t, err)
	return string(out)
}
