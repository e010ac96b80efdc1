// Package postgrestest gives tests a PostgreSQL server. RIBTAP_TEST_POSTGRES
// names one (a DSN of a role that may create databases); without it Debian's
// postgresql-15 is started in a temporary folder, once for each process, and
// stopped when the process ends. Nothing is downloaded, and nothing is skipped:
// where there is no server the test fails and says how to get one.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Env names the variable with the DSN of a server to use.
const Env = "RIBTAP_TEST_POSTGRES"

// binaries is where Debian has the server's programs.
const binaries = "/usr/lib/postgresql/15/bin"

// Server is a running server.
type Server struct {
	dsn string // of an existing database
	dir string // empty: not ours
	cmd *exec.Cmd
	// tlsPort is that of ServeTLS.
	tlsPort int
}

var (
	once    sync.Once
	shared  *Server
	failure error
	serial  atomic.Int64
)

// Start returns the DSN of a fresh database, dropped when the test ends, on a
// server that the tests of the process share. Main must end the process.
func Start(tb testing.TB) string {
	tb.Helper()
	once.Do(func() { shared, failure = launch() })
	if failure != nil {
		tb.Fatal(failure)
	}
	return shared.Database(tb)
}

// Main runs the tests of a package and stops the shared server: for TestMain.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// Stop ends the shared server, for a TestMain that has more to do than Main.
func Stop() {
	if shared != nil {
		shared.stop()
	}
}

// StartServer starts a server of the test's own, which it may stop, pause and
// restart. It is never the one that Env names. Settings are lines of
// postgresql.conf, without a port.
func StartServer(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s, err := start(settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.stop)
	return s
}

func launch() (*Server, error) {
	if dsn := os.Getenv(Env); dsn != "" {
		return &Server{dsn: dsn}, nil
	}
	return start(nil)
}

// start makes a cluster in a folder of its own and starts a server there that
// listens on a socket in the same folder and nowhere else.
func start(settings []string) (s *Server, err error) {
	if _, err := os.Stat(filepath.Join(binaries, "postgres")); err != nil {
		return nil, fmt.Errorf("postgrestest: no PostgreSQL server: run scripts/install-test-deps.sh, or set %s: %w", Env, err)
	}
	dir, err := os.MkdirTemp("", "ribtap-pg-")
	if err != nil {
		return nil, err
	}
	s = &Server{dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	who, err := credential()
	if err != nil {
		return nil, err
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(binaries, "initdb"), "-D", s.data(), "-U", "ribtap", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = &syscall.SysProcAttr{Credential: who}, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("postgrestest: initdb: %w\n%s", err, out)
	}
	conf := strings.Join(append([]string{
		"listen_addresses = ''", "unix_socket_directories = '" + dir + "'", "fsync = off", "full_page_writes = off",
		"max_connections = 50", "shared_buffers = 256MB", "max_wal_size = 4GB", "logging_collector = off",
	}, settings...), "\n")
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("\n" + conf + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	s.dsn = "postgres:///postgres?" + url.Values{"host": {dir}, "user": {"ribtap"}}.Encode()
	return s, s.run()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// ServeTLS makes the server listen on a port of the loopback interface, too, with
// a certificate and its key in PEM form, and restarts it. It may be called again,
// with another certificate.
func (s *Server) ServeTLS(tb testing.TB, cert, key []byte) (port int) {
	tb.Helper()
	conf := filepath.Join(s.data(), "postgresql.auto.conf") // is read last
	if s.tlsPort == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		s.tlsPort = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		text := fmt.Sprintf("port = %d\nlisten_addresses = '127.0.0.1'\nssl = on\n", s.tlsPort)
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
		s.dsn += "&port=" + strconv.Itoa(s.tlsPort)
	}
	for name, pem := range map[string][]byte{"server.crt": cert, "server.key": key} {
		path := filepath.Join(s.data(), name)
		if err := errors.Join(os.WriteFile(path, pem, 0o600), os.Chmod(path, 0o600), s.Own(path)); err != nil {
			tb.Fatal(err)
		}
	}
	s.Restart(tb)
	return s.tlsPort
}

// credential is who runs the server: it refuses to be root.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range [...]string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.Atoi(u.Gid)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
	}
	return nil, errors.New("postgrestest: neither a user postgres nor nobody")
}

// run starts the server and waits until it answers.
func (s *Server) run() error {
	who, err := credential()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own
	s.cmd = exec.Command(filepath.Join(binaries, "postgres"), "-D", s.data())
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = log, log, s.dir
	// The server ends with the test, also when that is killed; a group of its own
	// can be paused whole.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := pgx.Connect(context.Background(), s.dsn)
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("postgrestest: the server does not answer: %w\n%s", err, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Own gives a file or directory to the user that the server runs as.
func (s *Server) Own(dir string) error {
	who, err := credential()
	if err != nil || who == nil {
		return err
	}
	return os.Chown(dir, int(who.Uid), int(who.Gid))
}

// Signal sends a signal to all of the server's processes.
func (s *Server) Signal(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	for _, pid := range s.processes(tb) {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			tb.Fatal(err)
		}
	}
}

// processes are the postmaster and its children, each of which has a session
// and a group of its own.
func (s *Server) processes(tb testing.TB) []int {
	tb.Helper()
	pids := []int{s.cmd.Process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.cmd.Process.Pid, s.cmd.Process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(children)) {
		if pid, err := strconv.Atoi(word); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Kill ends the server in immediate mode, as a crash would, until Restart.
func (s *Server) Kill() { s.quit() }

// Restart ends the server in immediate mode, as a crash would, and starts it.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.quit()
	if err := s.run(); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) quit() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT) // gone already is as well
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *Server) stop() {
	s.quit()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Database makes a fresh database and returns its DSN.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	ctx := context.Background()
	admin := func(sql string) {
		conn, err := pgx.Connect(ctx, s.dsn)
		if err != nil {
			tb.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, sql); err != nil {
			tb.Fatal(err)
		}
	}
	name := fmt.Sprintf("ribtap_%d_%d", os.Getpid(), serial.Add(1))
	admin("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
	if s.dir == "" {
		tb.Cleanup(func() { admin("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)") })
	}
	cfg, err := pgx.ParseConfig(s.dsn)
	if err != nil {
		tb.Fatal(err)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Path: "/" + name}
	u.RawQuery = url.Values{"host": {cfg.Host}, "port": {strconv.Itoa(int(cfg.Port))}, "sslmode": {"prefer"}}.Encode()
	return u.String()
}

// RequirePassword makes a role and all unknown ones log in with a password.
func (s *Server) RequirePassword(tb testing.TB, role string) {
	tb.Helper()
	path := filepath.Join(s.data(), "pg_hba.conf")
	old, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("local all "+role+" scram-sha-256\n"), old...), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		tb.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // it reads the file when it gets to it
}
