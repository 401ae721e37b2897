package pgxmask

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// How often the progress is said, on a terminal and elsewhere.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

// progress says how far a run is. The part that is done is measured in pages of the
// chunks that are complete.
type progress struct {
	out      io.Writer
	bar      bool
	started  time.Time
	total    int64
	pages    atomic.Int64
	rows     atomic.Int64
	bytes    atomic.Int64
	quit     chan struct{}
	finished sync.WaitGroup
}

func newProgress(out io.Writer, chunks []*chunk) *progress {
	p := &progress{out: out, started: time.Now(), quit: make(chan struct{})}
	for _, c := range chunks {
		p.total += c.weight
	}
	if out == io.Discard {
		return p
	}
	every := lineEvery
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar, every = true, barEvery
	}
	p.finished.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.say()
			case <-p.quit:
				p.say()
				if p.bar {
					fmt.Fprintln(p.out)
				}
				return
			}
		}
	})
	return p
}

func (p *progress) complete(c *chunk) { p.pages.Add(c.weight) }

// reporter returns what takes the growing counts of one chunk.
func (p *progress) reporter() func(rows, bytes int64) {
	var r, b int64
	return func(rows, bytes int64) {
		p.rows.Add(rows - r)
		p.bytes.Add(bytes - b)
		r, b = rows, bytes
	}
}

func (p *progress) stop() {
	close(p.quit)
	p.finished.Wait()
}

func (p *progress) say() {
	elapsed := time.Since(p.started)
	line := progressText(p.pages.Load(), p.total, p.rows.Load(), p.bytes.Load(), elapsed, p.bar)
	if p.bar {
		line = "\r" + line + "\x1b[K"
	} else {
		line += "\n"
	}
	io.WriteString(p.out, line)
}

func progressText(pages, total, rows, bytes int64, elapsed time.Duration, bar bool) string {
	part := 1.0
	if total > 0 {
		part = float64(pages) / float64(total)
	}
	text := fmt.Sprintf("%3.0f%%  %d rows  %.1f MB  %s", 100*part, rows, float64(bytes)/1e6, elapsed.Round(time.Second))
	if part > 0 && part < 1 {
		text += fmt.Sprintf("  ETA %s", time.Duration(float64(elapsed)*(1-part)/part).Round(time.Second))
	}
	if bar {
		const width = 30
		n := int(part * width)
		text = "[" + strings.Repeat("#", n) + strings.Repeat("-", width-n) + "] " + text
	}
	return text
}
