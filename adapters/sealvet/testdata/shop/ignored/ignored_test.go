package ignored

import (
	"fmt"
	"testing"

	"example.com/shop/store"
)

func TestUse(t *testing.T) {
	//sealvet:ignore
	fmt.Println(store.Customer{}) // test files are left alone
	t.Log(store.Customer{})
}
