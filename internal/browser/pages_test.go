//go:build integration

package browser

import (
	"os/exec"
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
	b.do(chromedp.Navigate(c.url), chromedp.WaitVisible("header input"), chromedp.KeyEvent("/"))
	if id := value[string](b, "document.activeElement.name"); id != "q" {
		t.Errorf("/ goes to %q, not to the search", id)
	}
	b.do(chromedp.KeyEvent("203.0.113.0/24"), chromedp.KeyEvent(kb.Enter))
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
	b.do(chromedp.Navigate(c.url), chromedp.WaitVisible("header input"), chromedp.KeyEvent("/"))
	b.do(chromedp.KeyEvent("as64501"), chromedp.KeyEvent(kb.Enter))
	b.shows("AS 64501", "Prefixes that it originates")
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
