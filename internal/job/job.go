// Package job lets another goroutine do work that one waits for.
package job

import "runtime"

// Job is work that another goroutine may do and one waits for.
type Job struct {
	done     chan struct{}
	panicked any
	exited   bool // by a panic, or by runtime.Goexit
}

// Begin makes j a Job that has not been done.
func (j *Job) Begin() { *j = Job{done: make(chan struct{})} }

// Run does the work.
func (j *Job) Run(work func()) {
	defer close(j.done)
	defer func() {
		if j.exited {
			j.panicked = recover()
		}
	}()
	j.exited = true
	work()
	j.exited = false
}

// Done is closed at the end of the work.
func (j *Job) Done() <-chan struct{} { return j.done }

// IsDone reports whether the work is done.
func (j *Job) IsDone() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// Failed reports whether the work, which is done, did not return.
func (j *Job) Failed() bool { return j.exited }

// Wait waits for the end of the work, and ends as it did: by a panic or by
// runtime.Goexit, too.
func (j *Job) Wait() {
	<-j.done
	switch {
	case j.panicked != nil:
		panic(j.panicked)
	case j.exited:
		runtime.Goexit()
	}
}
