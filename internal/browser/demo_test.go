//go:build integration

package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var binary string

// TestMain builds ribtap once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ribtap-browser-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "ribtap")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/ribtap/ribtap/cmd/ribtap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	code := 1
	if err != nil {
		fmt.Fprintf(os.Stderr, "building ribtap: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// collector is a ribtap that runs.
type collector struct {
	t        *testing.T
	url, bmp string
	dir      string
}

var (
	httpLine = regexp.MustCompile(`HTTP  (http://[\d.:]+)/`)
	bmpLine  = regexp.MustCompile(`BMP   ([\d.:]+)`)
)

// start runs ribtap with a command, and waits until it says where its pages are.
func start(t *testing.T, args ...string) *collector {
	t.Helper()
	c := &collector{t: t, dir: t.TempDir()}
	cmd := exec.Command(binary, append(args, "--data-dir", c.dir, "--http-listen", "127.0.0.1:0", "--bmp-listen", "127.0.0.1:0", "--bgp-listen", "127.0.0.1:0")...)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last, ready, ended := "", make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			last = s.Text()
			if m := bmpLine.FindStringSubmatch(last); m != nil {
				c.bmp = m[1]
			}
			if m := httpLine.FindStringSubmatch(last); m != nil {
				c.url = m[1]
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("ribtap: %v; the last it said was %s", err, last)
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("ribtap does not say where its pages are")
	}
	return c
}

// get asks the API.
func (c *collector) get(path string, v any) {
	c.t.Helper()
	r, err := http.Get(c.url + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s %s, %v", path, r.Status, b, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
}

// awaitDemo waits until the demo's recordings are in the history.
func (c *collector) awaitDemo() {
	c.t.Helper()
	for range 200 {
		var s struct {
			Routers int
			Stream  struct {
				Last uint64 `json:"last_sequence"`
			}
			Sinks []struct {
				Lag uint64 `json:"lag_events"`
			}
		}
		c.get("/v1/status", &s)
		if s.Routers >= 5 && len(s.Sinks) > 0 && s.Sinks[0].Lag == 0 && s.Stream.Last > 2_000 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatal("the demo has not been played")
}

// tab is a page in the browser. What goes wrong in it fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context

	// refused says that answers of 401 are no error.
	refused bool

	mu    sync.Mutex
	wrong []string
}

// browse opens a tab.
func browse(t *testing.T, dark bool) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true))
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	b := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		cancelAlloc()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range b.wrong {
			t.Error(w)
		}
	})
	b.do() // begins the browser
	err := chromedp.Listen(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.wrong = append(b.wrong, fmt.Sprintf("exception: %+v", ev.ExceptionDetails))
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.EntryLevelError && (!b.refused || !strings.Contains(ev.Entry.Text, "401")) {
				b.wrong = append(b.wrong, fmt.Sprintf("browser: %s %s", ev.Entry.Text, ev.Entry.URL))
			}
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	if err == nil {
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// browserPatience is how long one step may take.
const browserPatience = 30 * time.Second

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	// The first call begins the browser, which must not end with its time.
	ctx, cancel := b.ctx, context.CancelFunc(func() {})
	if len(steps) > 0 {
		ctx, cancel = context.WithTimeout(b.ctx, browserPatience)
	}
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// value is that of an expression in the page.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text is what an element shows.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// shows waits until the page's main part has every text.
func (b *tab) shows(texts ...string) {
	b.t.Helper()
	var page string
	for range 100 {
		page = b.text("main")
		missing := ""
		for _, s := range texts {
			if !strings.Contains(page, s) {
				missing = s
			}
		}
		if missing == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatalf("the page does not show all of %q:\n%s", texts, page)
}

// shot keeps a picture of the page in RIBTAP_SCREENSHOTS, if that is set.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("RIBTAP_SCREENSHOTS")
	if dir == "" {
		return
	}
	b.do(chromedp.Sleep(300 * time.Millisecond))
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
