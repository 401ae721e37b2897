//go:build !unix

package pgxmask

import "os"

// lockFile is for systems with flock; elsewhere nobody keeps two processes apart.
func lockFile(*os.File) error { return nil }
