package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var outputFormats = []string{"table", "wide", "json", "ndjson", "csv"}

func (a *app) checkOutput() error {
	if !slices.Contains(outputFormats, a.output) {
		return usagef("-o %q is not one of %s", a.output, strings.Join(outputFormats, ", "))
	}
	return nil
}

// column is one column of a table for people: its head, the json name of the
// field it shows, and whether only `-o wide` has it.
type column struct {
	head, field string
	wide        bool
}

// Values of column.wide, for the tables' sake.
const (
	narrow = false
	wide   = true
)

// writeAll writes a slice as writeRows does.
func writeAll[T any](a *app, columns []column, rows []T) error {
	return writeRows(a, columns, func(yield func(T, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	})
}

// writeRows writes rows, structs with json tags, to standard output as -o asks:
// table and wide show the columns, the formats for programs show every field
// under its json name. Rows are written as they come; only tables wait for the
// last one, to know how wide their columns are. A row error ends it.
func writeRows[T any](a *app, columns []column, rows iter.Seq2[T, error]) error {
	w := bufio.NewWriterSize(a.stdout, 64<<10)
	var err error
	switch a.output {
	case "json":
		err = writeJSON(w, rows)
	case "ndjson":
		err = writeNDJSON(w, rows)
	case "csv":
		err = writeCSV(w, rows)
	default:
		err = writeTable(w, columns, rows, a.output == "wide")
	}
	if flushErr := w.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("write output: %w", flushErr)
	}
	return err
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// writeJSON writes one array. After an error the array stays open, so that
// nobody takes a part for the whole.
func writeJSON[T any](w *bufio.Writer, rows iter.Seq2[T, error]) error {
	var row bytes.Buffer
	e := encoder(&row)
	sep := "[\n"
	for r, err := range rows {
		if err != nil {
			return err
		}
		row.Reset()
		if err := e.Encode(r); err != nil {
			return err
		}
		row.Truncate(row.Len() - 1) // the line end comes behind the comma
		if _, err := w.WriteString(sep); err != nil {
			return err
		}
		if _, err := w.Write(row.Bytes()); err != nil {
			return err
		}
		sep = ",\n"
	}
	end := "\n]\n"
	if sep == "[\n" {
		end = "[]\n"
	}
	_, err := w.WriteString(end)
	return err
}

func writeNDJSON[T any](w *bufio.Writer, rows iter.Seq2[T, error]) error {
	e := encoder(w)
	for r, err := range rows {
		if err != nil {
			return err
		}
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func writeCSV[T any](w io.Writer, rows iter.Seq2[T, error]) error {
	fields := fieldsOf(reflect.TypeFor[T]())
	c := csv.NewWriter(w)
	record := make([]string, len(fields))
	for i, f := range fields {
		record[i] = f.name
	}
	if err := c.Write(record); err != nil {
		return err
	}
	for r, err := range rows {
		if err != nil {
			c.Flush()
			return err
		}
		v := reflect.ValueOf(r)
		for i, f := range fields {
			record[i] = cell(v.FieldByIndex(f.index))
		}
		if err := c.Write(record); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func writeTable[T any](w io.Writer, columns []column, rows iter.Seq2[T, error], wide bool) error {
	index := map[string][]int{}
	for _, f := range fieldsOf(reflect.TypeFor[T]()) {
		index[f.name] = f.index
	}
	var shown []column
	for _, c := range columns {
		if !c.wide || wide {
			shown = append(shown, c)
		}
	}
	var lines [][]string
	width := make([]int, len(shown))
	add := func(line []string) {
		for i, s := range line {
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
		lines = append(lines, line)
	}
	head := make([]string, len(shown))
	for i, c := range shown {
		head[i] = c.head
	}
	add(head)
	for r, err := range rows {
		if err != nil {
			return err
		}
		v := reflect.ValueOf(r)
		line := make([]string, len(shown))
		for i, c := range shown {
			if at, ok := index[c.field]; ok {
				line[i] = printable(cell(v.FieldByIndex(at)))
			}
			if line[i] == "" {
				line[i] = "-"
			}
		}
		add(line)
	}
	var b strings.Builder
	for _, line := range lines {
		b.Reset()
		for i, s := range line {
			b.WriteString(s)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(s)+2))
			}
		}
		b.WriteByte('\n')
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// structField is a field of a row, embedded structs flattened.
type structField struct {
	name  string
	index []int
}

func fieldsOf(t reflect.Type) []structField {
	var out []structField
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" || !f.IsExported() || tag == "-" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		out = append(out, structField{tag, f.Index})
	}
	return out
}

// cell is a field as text: nothing for null, RFC 3339 for times, and space
// between the elements of a list.
func cell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return ""
		}
		return cell(v.Elem())
	}
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return ""
		}
		return x.UTC().Format(time.RFC3339Nano)
	case json.RawMessage:
		return string(x)
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = cell(v.Index(i))
		}
		return strings.Join(parts, " ")
	case reflect.Struct, reflect.Map:
		b, err := json.Marshal(v.Interface())
		if err != nil {
			return ""
		}
		return string(b)
	default:
		return fmt.Sprint(v.Interface())
	}
}

// printable keeps control characters, which routers may put into their names,
// away from terminals.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}
