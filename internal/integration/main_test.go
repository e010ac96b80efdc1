//go:build integration

package integration

import (
	"fmt"
	"os"
	"testing"
)

// TestMain builds ribtap once.
func TestMain(m *testing.M) {
	remove, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	remove()
	os.Exit(code)
}
