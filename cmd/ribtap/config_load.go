package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// settings is a loaded configuration together with where each value came from.
type settings struct {
	Config

	file     string            // the file that was read, empty for none
	text     []byte            // its content
	origins  map[string]string // key → "default", "file F:LINE", "env NAME" or "flag --NAME"
	warnings []string          // what is legal but surely not meant
	tokens   []token           // of http.token_file
	bgp      bgpConfig         // the bgp section, keys read
}

// overrides are the keys that flags set: key → flag name and value.
type overrides map[string]override

type override struct{ flag, value string }

// configError lists everything that is wrong with a configuration, one line
// for each.
type configError struct{ problems []string }

func (e *configError) Error() string { return strings.Join(e.problems, "\n") }

func (e *configError) add(format string, args ...any) {
	e.problems = append(e.problems, fmt.Sprintf(format, args...))
}

// loadConfig joins defaults, file, environment and flags, the later ones
// winning, and checks the result. path is the --config flag; empty means
// RIBTAP_CONFIG, then the usual places. The error is a *configError.
func loadConfig(path string, flags overrides) (*settings, error) {
	problems := &configError{}
	file, err := findConfig(path)
	if err != nil {
		problems.add("%v", err)
		return nil, problems
	}
	var text []byte
	if file != "" {
		if text, err = os.ReadFile(file); err != nil {
			problems.add("config file %s cannot be read: %v", file, errors.Unwrap(err))
			return nil, problems
		}
	}
	return parseConfig(file, text, flags)
}

// parseConfig is loadConfig for the content of a file; file is its name, empty
// for none.
func parseConfig(file string, text []byte, flags overrides) (*settings, error) {
	problems := &configError{}
	keys, _ := configKeys()
	s := &settings{file: file, text: text, origins: make(map[string]string, len(keys))}
	var lines map[string]int
	v := viper.New()
	v.SetConfigType("yaml")
	v.SetEnvPrefix("RIBTAP")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()

	def := DefaultConfig()
	for _, k := range keys {
		v.SetDefault(k.path, plain(k.value(&def)))
	}
	if file != "" {
		// The walk comes before viper: viper splits keys at dots, lower-cases
		// them, and is silent about keys that nobody asks for.
		lines = checkYAML(file, text, problems)
		if len(problems.problems) > 0 {
			return nil, problems
		}
		if err := v.ReadConfig(strings.NewReader(string(text))); err != nil {
			problems.add("config file %s is not YAML: %v", file, err)
			return nil, problems
		}
	}
	for key, o := range flags {
		v.Set(key, o.value)
	}
	for _, k := range keys {
		s.origins[k.path] = origin(k, file, lines, flags)
	}
	decodeKeys(v, keys, s, problems)
	if len(problems.problems) > 0 {
		return nil, problems
	}
	s.check(keys, &def, problems)
	s.warnings = append(s.warnings, unknownEnv(keys, os.Environ())...)
	if len(problems.problems) > 0 {
		return nil, problems
	}
	return s, nil
}

// decodeKeys fills s.Config key by key, so that every error names its key and
// where the value stands.
func decodeKeys(v *viper.Viper, keys []configKey, s *settings, problems *configError) {
	for _, k := range keys {
		target := k.value(&s.Config)
		err := v.UnmarshalKey(k.path, target.Addr().Interface(), viper.DecodeHook(mapstructure.ComposeDecodeHookFunc(
			unitHook, wordHook, listHook, scalarHook, mapstructure.TextUnmarshallerHookFunc(),
		)), func(c *mapstructure.DecoderConfig) { c.ErrorUnused = true })
		if err != nil {
			problems.add("%s (%s): %s", k.path, s.origins[k.path], decodeReason(err))
			continue
		}
		if target.Kind() == reflect.Slice && target.IsNil() {
			target.Set(reflect.MakeSlice(target.Type(), 0, 0))
		}
	}
}

// unitHook refuses a bare number where a unit decides what it means.
func unitHook(from, to reflect.Type, data any) (any, error) {
	if to == reflect.TypeFor[Duration]() && from.Kind() != reflect.String {
		if fmt.Sprint(data) == "0" {
			return "0", nil
		}
		return nil, fmt.Errorf("%v has no unit; write %vs, %vm or %vh", data, data, data, data)
	}
	if to == reflect.TypeFor[ByteSize]() && from.Kind() != reflect.String {
		return fmt.Sprint(data), nil
	}
	return data, nil
}

// listHook splits a text at commas where a list of texts is wanted.
func listHook(from, to reflect.Type, data any) (any, error) {
	if from.Kind() != reflect.String || to != reflect.TypeFor[[]string]() {
		return data, nil
	}
	out := []string{}
	for part := range strings.SplitSeq(data.(string), ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out, nil
}

// scalarHook reads truth values as YAML 1.1 has them, and says what is wrong
// with a scalar in words of ours.
func scalarHook(from, to reflect.Type, data any) (any, error) {
	switch to.Kind() {
	case reflect.Bool:
		switch strings.ToLower(fmt.Sprint(data)) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
		return nil, fmt.Errorf("%q is not true or false", fmt.Sprint(data))
	case reflect.Int, reflect.Uint32:
		if _, err := strconv.ParseUint(fmt.Sprint(data), 10, 32); err != nil {
			return nil, fmt.Errorf("%q is not a whole number from 0 to %d", fmt.Sprint(data), uint32(1<<32-1))
		}
	case reflect.Slice:
		if from.Kind() == reflect.Map {
			return nil, errors.New("must be a list, not a mapping")
		}
	default:
	}
	return data, nil
}

var entryPath = regexp.MustCompile(`^'\[(\d+)\]\.([^']+)' `)

// decodeReason takes the cause out of mapstructure's many-line error.
func decodeReason(err error) string {
	text := err.Error()
	if i := strings.Index(text, "error decoding '"); i >= 0 {
		if _, rest, ok := strings.Cut(text[i:], "': "); ok {
			text = rest
		}
	}
	text = strings.TrimPrefix(text, "decoding failed due to the following error(s):\n\n")
	if _, rest, ok := strings.Cut(text, "'' "); ok {
		text = rest
	}
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	// '[0].remote_asn' is the first entry's.
	if m := entryPath.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			text = fmt.Sprintf("entry %d: %s: %s", n+1, m[2], text[len(m[0]):])
		}
	}
	return text
}

// origin says where the value of a key came from.
func origin(k configKey, file string, lines map[string]int, flags overrides) string {
	if o, ok := flags[k.path]; ok {
		return "flag --" + o.flag
	}
	// An empty variable counts as unset: docker-compose hands those out freely.
	if os.Getenv(k.env()) != "" {
		return "env " + k.env()
	}
	if line, ok := lines[k.path]; ok {
		return fmt.Sprintf("file %s:%d", file, line)
	}
	return "default"
}

// findConfig returns the file to read: the flag's, RIBTAP_CONFIG's, or the
// first one that exists in the usual places; empty when there is none.
func findConfig(path string) (string, error) {
	from := "--config"
	if path == "" {
		path = os.Getenv("RIBTAP_CONFIG")
		from = "RIBTAP_CONFIG"
	}
	if path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("config file %s (%s) cannot be read: %w", path, from, errors.Unwrap(err))
		}
		return path, nil
	}
	places := []string{"ribtap.yaml"}
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		places = append(places, filepath.Join(dir, "ribtap", "ribtap.yaml"))
	} else if home := os.Getenv("HOME"); home != "" {
		places = append(places, filepath.Join(home, ".config", "ribtap", "ribtap.yaml"))
	}
	for _, p := range append(places, "/etc/ribtap/ribtap.yaml") {
		_, err := os.Stat(p)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("config file %s cannot be read: %w", p, errors.Unwrap(err))
		}
	}
	return "", nil
}

// knownEnv are the variables of ours that are no configuration keys.
var knownEnv = []string{"RIBTAP_CONFIG", "RIBTAP_CORPUS", "RIBTAP_SPEAKERS", "RIBTAP_TOKEN", "RIBTAP_TOKEN_FILE", "RIBTAP_URL"}

// unknownEnv warns of variables that look like keys and are none. They are no
// errors: Kubernetes sets RIBTAP_PORT and the like for a service named ribtap.
func unknownEnv(keys []configKey, environ []string) []string {
	names := slices.Clone(knownEnv)
	for _, k := range keys {
		names = append(names, k.env())
	}
	var out []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "RIBTAP_") && !slices.Contains(names, name) {
			out = append(out, fmt.Sprintf("environment variable %s is no key and has no effect; nearest is %s", name, nearest(name, names)))
		}
	}
	return out
}
