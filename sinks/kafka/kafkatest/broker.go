// Package kafkatest runs a real Apache Kafka broker for tests: one node with
// KRaft, in a temporary folder, on free ports of the loopback interface. The
// jars come from a cache folder that scripts/install-kafka.sh fills. Tests enter
// with a *testing.T; a broker's address and helpers leave. It refuses to know
// what the records mean.
package kafkatest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

const (
	// AddressEnv names a broker to use instead of one of our own.
	AddressEnv = "RIBTAP_TEST_KAFKA"
	// DirEnv is the folder with Kafka's jars.
	DirEnv = "RIBTAP_KAFKA_DIR"

	startTimeout = 90 * time.Second
	script       = "scripts/install-kafka.sh"
)

// Broker is a running broker.
type Broker struct {
	// Addr is the plain listener.
	Addr string
	// Proxy is in front of another plain listener, for tests that lose answers;
	// nil for a broker that somebody else runs.
	Proxy *Proxy

	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

var shared struct {
	once   sync.Once
	broker *Broker
	err    error
}

// Main runs the tests of a package and stops the shared broker behind them.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.broker != nil {
		shared.broker.remove()
	}
	return code
}

// Start returns the broker that all tests of this process share; the package's
// TestMain calls Main. It fails the test when there is none.
func Start(t testing.TB) *Broker {
	t.Helper()
	shared.once.Do(func() {
		if addr := os.Getenv(AddressEnv); addr != "" {
			shared.broker = &Broker{Addr: addr}
			return
		}
		shared.broker, shared.err = start(nil)
	})
	if shared.err != nil {
		t.Fatalf("kafkatest: %v", shared.err)
	}
	return shared.broker
}

// Own starts a broker for one test, which may stop it. The properties come on
// top of the usual ones.
func Own(t testing.TB, properties map[string]string) *Broker {
	t.Helper()
	b, err := start(properties)
	if err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	t.Cleanup(b.remove)
	return b
}

// Classpath returns what Java needs to run Kafka's programs.
func Classpath() (string, error) {
	dir := os.Getenv(DirEnv)
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "ribtap-kafka")
	}
	libs := filepath.Join(dir, "libs")
	jars, err := filepath.Glob(filepath.Join(libs, "kafka-clients-*.jar"))
	if err != nil || len(jars) == 0 {
		return "", fmt.Errorf("no Apache Kafka in %s: run %s, or set %s to a broker's host:port", libs, script, AddressEnv)
	}
	return filepath.Join(libs, "*"), nil
}

// FreePort returns a port of 127.0.0.1 that nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func start(extra map[string]string) (b *Broker, err error) {
	dir, err := os.MkdirTemp("", "ribtap-kafka-")
	if err != nil {
		return nil, err
	}
	b = &Broker{dir: dir}
	defer func(begun *Broker) {
		if err != nil {
			begun.remove()
		}
	}(b)
	var ports [3]int
	for i := range ports {
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
	}
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	b.Addr = at(ports[0])
	if b.Proxy, err = newProxy(at(ports[1])); err != nil {
		return nil, err
	}
	properties := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  "1",
		"controller.quorum.voters":                 "1@" + at(ports[2]),
		"controller.listener.names":                "CONTROLLER",
		"inter.broker.listener.name":               "PLAINTEXT",
		"listeners":                                "PLAINTEXT://" + b.Addr + ",PROXY://" + at(ports[1]) + ",CONTROLLER://" + at(ports[2]),
		"advertised.listeners":                     "PLAINTEXT://" + b.Addr + ",PROXY://" + b.Proxy.Addr,
		"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,PROXY:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
		"log.dirs":                                 filepath.Join(dir, "data"),
		"offsets.topic.replication.factor":         "1",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"auto.create.topics.enable":                "false",
		"group.initial.rebalance.delay.ms":         "0",
		"offsets.topic.num.partitions":             "1",
	}
	for k, v := range extra {
		if suffix, ok := strings.CutPrefix(k, "+"); ok {
			properties[suffix] += "," + v
		} else {
			properties[k] = v
		}
	}
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", k, properties[k])
	}
	if err := os.WriteFile(b.path("server.properties"), []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	out, err := b.java("kafka.tools.StorageTool", "format", "-t", "cmliIHRhcCB0ZXN0cyE", "-c", b.path("server.properties"))
	if err != nil {
		return nil, fmt.Errorf("formatting: %w: %s", err, out)
	}
	if err := b.run(); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Broker) path(name string) string { return filepath.Join(b.dir, name) }

// java runs a program to its end.
func (b *Broker) java(class string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd, err := command(ctx, class, args...)
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func command(ctx context.Context, class string, args ...string) (*exec.Cmd, error) {
	classpath, err := Classpath()
	if err != nil {
		return nil, err
	}
	flags := []string{"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp", classpath, class}
	cmd := exec.CommandContext(ctx, "java", append(flags, args...)...)
	dieWithParent(cmd)
	return cmd, nil
}

// run starts the broker's process and waits until it answers.
func (b *Broker) run() error {
	cmd, err := command(context.Background(), "kafka.Kafka", b.path("server.properties"))
	if err != nil {
		return err
	}
	log, err := os.OpenFile(b.path("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own handle
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed; how it ended says nothing
	}()
	b.cmd, b.done = cmd, done
	for end := time.Now().Add(startTimeout); ; {
		select {
		case <-done:
			text, _ := os.ReadFile(b.path("server.log"))
			return fmt.Errorf("the broker ended: %s", tail(text))
		case <-time.After(100 * time.Millisecond):
		}
		if err = b.answers(); err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the broker does not answer: %w", err)
		}
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// answers asks the broker for metadata that needs its controller.
func (b *Broker) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := kafkago.DialContext(ctx, "tcp", b.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing was written that could be lost
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	brokers, err := conn.Brokers()
	if err == nil && len(brokers) == 0 {
		err = fmt.Errorf("no broker is registered")
	}
	return err
}

func (b *Broker) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if b.cmd == nil {
		t.Fatalf("kafkatest: the broker at %s is not ours to stop", b.Addr)
	}
	if err := b.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
}

// Kill ends the broker's process as a power cut would, but for the disk.
func (b *Broker) Kill(t testing.TB) {
	t.Helper()
	b.signal(t, syscall.SIGKILL)
	<-b.done
}

// Restart starts the broker again, on the same folder and ports.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	if err := b.run(); err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
}

// Pause stops the process without ending it, and Continue lets it go on.
func (b *Broker) Pause(t testing.TB) { t.Helper(); b.signal(t, syscall.SIGSTOP) }

// Continue is the opposite of Pause.
func (b *Broker) Continue(t testing.TB) { t.Helper(); b.signal(t, syscall.SIGCONT) }

// remove ends the broker and deletes its folder.
func (b *Broker) remove() {
	if b.Proxy != nil {
		b.Proxy.Close()
	}
	if b.cmd != nil && b.cmd.Process != nil {
		_ = b.cmd.Process.Kill() // it may have ended
		<-b.done
	}
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // a temporary folder
	}
}
