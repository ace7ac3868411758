// Command proto generates the Go code of protobuf messages. It parses the files by
// itself and calls the generators, protoc-gen-go and vtprotobuf, at the versions that
// go.mod pins: no protoc has to be installed.
//
//	go run . ROOT FOLDER          writes *.pb.go beside the *.proto of a folder, and generated.sum
//	go run . -check ROOT FOLDER   fails if that would change something
//
// Files import each other by their path from the root, under which Go's registry of
// messages knows them, too.
//
// generated.sum holds the SHA-256 of what the code is made from and of the code, as
// sha256sum writes them, so that a test finds out without the generators that one of
// them was changed and the other was not.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	_ "github.com/planetscale/vtprotobuf/features/marshal" // features register themselves
	_ "github.com/planetscale/vtprotobuf/features/size"
	_ "github.com/planetscale/vtprotobuf/features/unmarshal"
	"github.com/planetscale/vtprotobuf/generator"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// sumFile is beside the code.
const sumFile = "generated.sum"

func main() {
	check := flag.Bool("check", false, "change nothing, and fail if something would change")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "proto: which root, and which folder below it?")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *check); err != nil {
		fmt.Fprintln(os.Stderr, "proto:", err)
		os.Exit(1)
	}
}

// output is a file to be written.
type output struct {
	name string
	text []byte
}

func run(root, folder string, check bool) error {
	sources, err := filepath.Glob(filepath.Join(root, folder, "*.proto"))
	if err != nil {
		return err
	}
	if len(sources) == 0 {
		return fmt.Errorf("%s has no *.proto", folder)
	}
	for i := range sources {
		sources[i] = path.Join(folder, filepath.Base(sources[i]))
	}
	slices.Sort(sources)
	code, err := generate(root, sources)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, name := range sources {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(text), path.Base(name))
	}
	for _, o := range code {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(o.text), path.Base(o.name))
	}
	for _, o := range append(code, output{path.Join(folder, sumFile), sums.Bytes()}) {
		name := filepath.Join(root, o.name)
		if check {
			if is, err := os.ReadFile(name); err != nil || !bytes.Equal(is, o.text) {
				return errors.Join(fmt.Errorf("%s is not what the sources say: run make proto", o.name), err)
			}
			continue
		}
		if err := os.WriteFile(name, o.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the code of files below a root.
func generate(root string, sources []string) ([]output, error) {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{root}},
		SourceInfoMode: protocompile.SourceInfoStandard, // comments get into the code
	}
	files, err := compiler.Compile(context.Background(), sources...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: sources, Parameter: proto.String("paths=source_relative")}
	for _, f := range files { // those that others import come first: they are compiled in the order given
		request.ProtoFile = append(request.ProtoFile, protoutil.ProtoFromFileDescriptor(f))
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, err
	}
	for _, f := range plugin.Files {
		if f.Generate {
			internal_gengo.GenerateFile(plugin, f)
		}
	}
	fast, err := generator.NewGenerator(plugin, []string{"marshal", "unmarshal", "size"}, new(generator.Config))
	if err != nil {
		return nil, err
	}
	fast.Generate()
	response := plugin.Response()
	if response.Error != nil {
		return nil, errors.New(*response.Error)
	}
	pinned, err := versionOf("github.com/planetscale/vtprotobuf")
	if err != nil {
		return nil, err
	}
	// It takes this program's version for its own, which is another one where the
	// program was built in another way.
	own := regexp.MustCompile(`(?m)^// protoc-gen-go-vtproto version: .*$`)
	var code []output
	for _, f := range response.File {
		code = append(code, output{f.GetName(), own.ReplaceAll([]byte(f.GetContent()), []byte("// protoc-gen-go-vtproto version: "+pinned))})
	}
	return code, nil
}

// versionOf returns the version of a module that this program is made of.
func versionOf(module string) (string, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", errors.New("the program does not say what it is made of")
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version, nil
		}
	}
	return "", fmt.Errorf("%s is not part of the program", module)
}
