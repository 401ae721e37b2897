//go:build unix

package pgxmask

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile keeps other processes from the output. The kernel gives the lock back when
// the file is closed or the process dies.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return fmt.Errorf("pgxmask: %s: %w", f.Name(), err)
	}
	return nil
}
