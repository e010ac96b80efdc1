// Command protogen generates the Go code of the API's schema, without protoc:
//
//	protogen -out DIR
//
// It compiles api/proto and runs protoc-gen-go and protoc-gen-connect-go, which are
// tools of this module. It is run in the module's root.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	source = "api/proto"
	module = "github.com/ribtap/ribtap"
)

var files = []string{"ribtap/v1/event.proto", "ribtap/v1/collector.proto"}

func main() {
	out := flag.String("out", ".", "the module's root, or where its like is to be made")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	c := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{source}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := c.Compile(context.Background(), files...)
	if err != nil {
		return err
	}
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-connect-go"} {
		if err := generate(out, plugin, compiled); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

func generate(out, plugin string, compiled linker.Files) error {
	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: new("module=" + module)}
	for _, f := range compiled {
		req.ProtoFile = append(req.ProtoFile, protoutil.ProtoFromFileDescriptor(protoreflect.FileDescriptor(f)))
	}
	in, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "tool", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(answer, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return errors.New(*resp.Error)
	}
	for _, f := range resp.File {
		if err := write(filepath.Join(out, filepath.FromSlash(f.GetName())), f.GetContent()); err != nil {
			return err
		}
	}
	return nil
}

func write(path, text string) error {
	if strings.Contains(path, "..") {
		return fmt.Errorf("%s is not below the module", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}
