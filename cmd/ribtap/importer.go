package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/mrt"
)

// importer feeds files through the collector, one at a time and each content
// once.
type importer struct {
	col    *collector.Collector
	ledger *ledger
	spool  string // directory for contents that come without a file
	turn   chan struct{}
}

func newImporter(col *collector.Collector, dataDir string) *importer {
	return &importer{col: col, ledger: openLedger(dataDir), spool: dataDir, turn: make(chan struct{}, 1)}
}

// maxSpool bounds a content that comes on a pipe or a connection. A whole
// table of many peers is some hundred MiB.
const maxSpool = 16 << 30

// importResult is one line of `import -o json`.
type importResult struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	Router string `json:"router"`
	Bytes  int64  `json:"bytes"`
	// Known says that the content was imported before and nothing was added.
	Known   bool      `json:"known"`
	KnownAt time.Time `json:"known_at,omitzero"`
	// Repeated says that an earlier import of the content did not come to its end.
	Repeated bool    `json:"repeated,omitempty"`
	Seconds  float64 `json:"seconds"`
	collector.ImportReport
}

// importProgress is how far an import is.
type importProgress struct {
	Bytes   int64 `json:"bytes"`
	Total   int64 `json:"total"`
	Records int   `json:"records"`
}

// unnamedRouter is the router of a file that nobody gave one.
const unnamedRouter = "mrt"

// run imports the content of f under a name. Without a router it is the one
// that a BMP recording names. It decides before it reads a record whether the
// content was imported before.
func (im *importer) run(ctx context.Context, f *os.File, name, router string, progress func(importProgress)) (importResult, error) {
	res := importResult{File: name, Router: router}
	select {
	case im.turn <- struct{}{}:
		defer func() { <-im.turn }()
	case <-ctx.Done():
		return res, ctx.Err()
	}
	start := time.Now()
	var err error
	if res.SHA256, res.Bytes, err = hashFile(f); err != nil {
		return res, fmt.Errorf("import %s: %w", name, err)
	}
	recording, sysName := sniff(f)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return res, fmt.Errorf("import %s: %w", name, err)
	}
	if res.Router == "" {
		res.Router = sysName
	}
	if res.Router == "" {
		res.Router = unnamedRouter
	}
	before, found, err := im.ledger.find(res.SHA256, res.Router)
	if err != nil {
		return res, err
	}
	if found && before.Done {
		res.Known, res.KnownAt = true, before.At
		return res, nil
	}
	res.Repeated = found
	entry := ledgerEntry{SHA256: res.SHA256, Router: res.Router, Name: name, Bytes: res.Bytes, At: start.UTC()}
	if err := im.ledger.add(entry); err != nil {
		return res, err
	}
	res.ImportReport, err = im.read(ctx, f, &res, recording, progress)
	res.Seconds = time.Since(start).Seconds()
	if err != nil {
		return res, fmt.Errorf("import %s: %w", name, err)
	}
	entry.Done, entry.At = true, time.Now().UTC()
	entry.Routes = int64(res.Announced + res.Withdrawn)
	return res, im.ledger.add(entry)
}

func (im *importer) read(ctx context.Context, f *os.File, res *importResult, recording bool, progress func(importProgress)) (collector.ImportReport, error) {
	counted := &countingReader{r: f}
	opt := collector.ImportOptions{Router: res.Router, File: res.File, SHA256: res.SHA256}
	if progress != nil {
		opt.Progress = func(records int) { progress(importProgress{counted.n, res.Bytes, records}) }
	}
	if !recording {
		return im.col.ImportMRT(ctx, counted, opt)
	}
	plain, _, err := mrt.Decompress(counted)
	if err != nil {
		return collector.ImportReport{}, err
	}
	return im.col.ImportBMP(ctx, plain, opt)
}

// sniff looks at the start of a content: whether it is a BMP recording, and
// what its router calls itself if it says so first. What is wrong with the
// content is for the import to tell.
func sniff(r io.Reader) (recording bool, sysName string) {
	plain, _, err := mrt.Decompress(r)
	if err != nil {
		return false, ""
	}
	b := bufio.NewReaderSize(plain, 64<<10)
	head, err := b.Peek(bmp.HeaderLen)
	if err != nil || !isBMPRecording(head) {
		return false, ""
	}
	raw, err := bmp.NewReader(b, 0).Next()
	if err != nil {
		return true, ""
	}
	m, err := bmp.Parse(raw)
	if err != nil || m.Type != bmp.TypeInitiation {
		return true, ""
	}
	in, err := bmp.ParseInitiation(&m)
	if err != nil {
		return true, ""
	}
	return true, strings.ToValidUTF8(printable(string(in.SysName)), "?")
}

// countingReader counts what was read from a file. It belongs to one goroutine.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// archiveName is how RIPE RIS and RouteViews name a collector in their paths.
var archiveName = regexp.MustCompile(`rrc\d\d|route-views\d*(\.[a-z][a-z0-9]*)?`)

// routerFor is the collector that a path of an archive names, else empty.
func routerFor(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = filepath.Join(filepath.Base(filepath.Dir(filepath.Dir(abs))), filepath.Base(filepath.Dir(abs)), filepath.Base(abs))
	}
	return archiveName.FindString(path)
}
