//go:build integration

package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Every page shows what the demo played, in both colour schemes, without a word of
// complaint from the browser.
func TestPages(t *testing.T) {
	c := start(t, "demo")
	c.awaitDemo()
	for _, dark := range []bool{false, true} {
		b := browse(t, dark)
		for _, p := range []struct {
			name, url string
			want      []string
		}{
			{"overview", "/", []string{"rt1", "edge2.demo", "bird-lab", "sqlite", "Peers up"}},
			{"sessions", "/sessions", []string{"192.0.2.12", "adj-rib-in-pre"}},
			{"session", "/sessions?router=edge2.demo&peer=192.0.2.12", []string{"Capabilities", "Statistics reports", "Ups and downs"}},
			{"prefix", "/prefix?prefix=203.0.113.0/24", []string{"Routes now", "Changes since", "withdrawn", "ribtap routes 203.0.113.0/24"}},
			{"as", "/as?asn=64501", []string{"Prefixes that it originates", "Reached by"}},
			{"changes", "/changes?from=-1h", []string{"announced", "CSV"}},
			{"diff", "/diff?rib=adj-rib-in-pre&to-rib=adj-rib-in-post", []string{"Differences", "Added"}},
			{"data", "/data", []string{"Event stream", "Nothing is known to be missing", "bmp.listen"}},
		} {
			b.do(chromedp.Navigate(c.url + p.url))
			b.shows(p.want...)
			if p.name == "overview" {
				b.do(chromedp.WaitVisible(chromedp.CSS("canvas"))) // a plot
			}
			name := p.name
			if dark {
				name += "-dark"
			}
			b.shot(name)
		}
	}
}

// A person looks up a prefix, goes back in time and back to now.
func TestSearchAndSlider(t *testing.T) {
	c := start(t, "demo")
	c.awaitDemo()
	b := browse(t, false)
	b.search(c.url, "203.0.113.0/24")
	b.shows("Routes now", "withdrawn")
	now := b.text("table")
	// To the change before the last, one after another.
	for range 3 {
		b.do(chromedp.Click(chromedp.CSS(`button[title="the change before"]`)))
		time.Sleep(300 * time.Millisecond)
	}
	b.shows("Routes at", "--at 20")
	at := value[string](b, "new URLSearchParams(location.search).get('at')")
	var then struct{ Rows []struct{ Prefix string } }
	c.get("/v1/routes?prefix=203.0.113.0/24&at="+at, &then)
	for range 50 {
		if value[int](b, "document.querySelectorAll('table')[0].querySelectorAll('tbody tr').length") == len(then.Rows) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if past := b.text("table"); past == now {
		t.Errorf("at %s the page shows the same as now:\n%s", at, past)
	}
	b.do(chromedp.NavigateBack())
	b.do(chromedp.Navigate(c.url+"/prefix?prefix=203.0.113.0/24&at="+at), chromedp.WaitVisible("table"))
	b.shows("Routes at")
	b.do(chromedp.Click(`//button[text()="now"]`))
	b.shows("Routes now")
	b.search(c.url, "as64501")
	b.shows("AS 64501", "Prefixes that it originates")
}

// search opens a page and types into the search, which the key / leads to, once the
// page listens.
func (b *tab) search(url, text string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url), chromedp.WaitVisible("header input"))
	for range 50 {
		b.do(chromedp.KeyEvent("/"))
		if value[string](b, "document.activeElement.name ?? ''") == "q" {
			b.do(chromedp.KeyEvent(text), chromedp.KeyEvent(kb.Enter))
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatal("/ does not lead to the search")
}

// The live page shows what comes, stops at Pause and goes on.
func TestLive(t *testing.T) {
	c := start(t, "demo")
	c.awaitDemo()
	b := browse(t, false)
	b.do(chromedp.Navigate(c.url+"/changes"), chromedp.WaitVisible("#pause"))
	b.shows("live")
	play := func() {
		out, err := exec.Command(binary, "replay", "../../fixtures/bmp/frr-8.4.bmp", "--to", c.bmp).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	rows := func() int { return value[int](b, "document.querySelectorAll('tbody tr').length") }
	b.do(chromedp.Click("#pause"))
	b.shows("paused")
	play()
	time.Sleep(time.Second)
	if n := rows(); n != 0 {
		t.Errorf("%d rows came while the page was paused", n)
	}
	b.do(chromedp.Click("#pause"))
	b.shows("live", "announce", "peer-up")
	before := rows()
	play()
	for range 100 {
		if rows() > before {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if n := rows(); n <= before {
		t.Errorf("%d rows, and %d after another recording", before, n)
	}
	b.shot("live")
}

// With a token a page asks for it, and then shows what it shows without, live, and as
// a file.
func TestToken(t *testing.T) {
	const token = "0123456789abcdef0123"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, "demo", "--http-token-file", file)
	b := browse(t, false)
	b.refused = true // the first answers are 401
	b.do(chromedp.Navigate(c.url+"/changes?from=-1h"), chromedp.WaitVisible(`input[name="token"]`))
	b.do(chromedp.SendKeys(`input[name="token"]`, token+kb.Enter))
	b.shows("announced", "CSV")
	b.do(chromedp.Navigate(c.url + "/"))
	b.shows("edge2.demo", "Peers up")
	saved := value[string](b, `(async () => (await (await fetch('/v1/history?format=csv', { headers: { Authorization: 'Bearer ' + sessionStorage.getItem('ribtap-token') } })).text()).split('\n')[0])()`)
	if !strings.HasPrefix(saved, "sequence,position,") {
		t.Errorf("the file begins with %q", saved)
	}
}

// What a page weighs, and how soon it is there.
func TestWeight(t *testing.T) {
	c := start(t, "demo")
	c.awaitDemo()
	b := browse(t, false)
	b.do(chromedp.Navigate(c.url))
	b.shows("edge2.demo")
	octets := value[float64](b, `performance.getEntriesByType('resource').filter((r) => !r.name.includes('/v1/')).reduce((n, r) => n + r.encodedBodySize, performance.getEntriesByType('navigation')[0].encodedBodySize)`)
	paint := value[float64](b, `performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1`)
	t.Logf("%.0f octets, first paint after %.0f ms", octets, paint)
	if octets < 10_000 || octets > 150_000 {
		t.Errorf("a page weighs %.0f octets", octets)
	}
	if paint < 0 {
		t.Error("nothing was painted")
	}
}
