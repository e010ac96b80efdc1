package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// masked stands for a secret in all output.
const masked = "********"

// shownKey is one key as `config show -o json` lists it.
type shownKey struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

// shown lists every key with its value, secrets masked, and its origin.
func (s *settings) shown() []shownKey {
	keys, _ := configKeys()
	out := make([]shownKey, len(keys))
	for i, k := range keys {
		v := k.value(&s.Config)
		out[i] = shownKey{k.path, plain(v), s.origins[k.path]}
		if k.secret && !v.IsZero() {
			out[i].Value = masked
		}
	}
	return out
}

// writeShown writes the effective configuration as a config file; with origin,
// each line says where its value came from.
func (s *settings) writeShown(w io.Writer, withOrigin bool) error {
	return writeYAML(w, s.shown(), func(k shownKey) (before, after string) {
		if withOrigin {
			return "", "  # " + k.Origin
		}
		return "", ""
	}, false)
}

// writeExample writes the default configuration with a comment on every key.
func writeExample(w io.Writer) error {
	keys, _ := configKeys()
	docs := map[string]string{}
	for _, k := range keys {
		docs[k.path] = k.doc
		for i, f := range k.entries() {
			if i == 0 {
				docs[k.path] += "; an entry has:"
			}
			docs[k.path] += fmt.Sprintf("\n  %s: %s  # %s", f.name, f.def, f.doc)
		}
	}
	def := &settings{Config: DefaultConfig(), origins: map[string]string{}}
	_, err := fmt.Fprint(w, "# ribtap.yaml: every key with its default. What stands here may also be set by\n"+
		"# environment (bmp.listen is RIBTAP_BMP_LISTEN; lists with commas).\n\n")
	if err != nil {
		return err
	}
	return writeYAML(w, def.shown(), func(k shownKey) (string, string) { return docs[k.Key], "" }, true)
}

// writeYAML writes keys, which are in the order of their sections, as YAML.
func writeYAML(w io.Writer, keys []shownKey, comment func(shownKey) (before, after string), sectionDocs bool) error {
	_, sections := configKeys()
	docs := map[string]string{}
	for _, s := range sections {
		docs[s.path] = s.doc
	}
	var b strings.Builder
	open := []string{}
	for _, k := range keys {
		parts := strings.Split(k.Key, ".")
		groups := parts[:len(parts)-1]
		common := 0
		for common < len(open) && common < len(groups) && open[common] == groups[common] {
			common++
		}
		for depth := common; depth < len(groups); depth++ {
			indent := strings.Repeat("  ", depth)
			if sectionDocs {
				if depth == 0 {
					b.WriteByte('\n')
				}
				fmt.Fprintf(&b, "%s# %s\n", indent, docs[strings.Join(groups[:depth+1], ".")])
			}
			fmt.Fprintf(&b, "%s%s:\n", indent, groups[depth])
		}
		open = groups
		indent := strings.Repeat("  ", len(groups))
		before, after := comment(k)
		for line := range strings.Lines(before) {
			fmt.Fprintf(&b, "%s# %s\n", indent, strings.TrimSuffix(line, "\n"))
		}
		text, err := flowYAML(k.Value)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s%s: %s%s\n", indent, parts[len(parts)-1], text, after)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// flowYAML writes a value in one line. JSON is YAML, and texts that need no
// quotes lose them.
func flowYAML(v any) (string, error) {
	if s, ok := v.(string); ok && s != "" {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(s), &n); err == nil && len(n.Content) == 1 &&
			n.Content[0].Kind == yaml.ScalarNode && n.Content[0].Tag == "!!str" && n.Content[0].Value == s && !strings.ContainsAny(s, "#\n") {
			return s, nil
		}
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Slice && rv.Len() == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(v)
	return strings.ReplaceAll(string(b), `","`, `", "`), err
}
