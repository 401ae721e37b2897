// Command sealvet reports code that takes fields with seal tags past the library:
//
//	go vet -vettool=$(which sealvet) ./...
//
// or, without go vet, "sealvet ./...". See package sealvet.
package main

import (
	"golang.org/x/tools/go/analysis/singlechecker"

	"github.com/sealfield/sealfield/adapters/sealvet"
)

func main() { singlechecker.Main(sealvet.Analyzer) }
