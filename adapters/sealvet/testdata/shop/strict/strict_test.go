package strict

import (
	"fmt"
	"testing"

	"example.com/shop/store"
)

func TestUse(t *testing.T) {
	fmt.Println(store.Customer{}) // want `fmt.Println`
	t.Log(store.Customer{})
}
