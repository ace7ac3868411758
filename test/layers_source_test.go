package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// sourceTree is the parsed source of a module. It is read only.
type sourceTree struct {
	set      *token.FileSet
	packages []*sourcePackage // in the order of their folders
	files    int
}

// sourcePackage is a folder with Go files.
type sourcePackage struct {
	folder string // path from the root of the module, with slashes
	files  []*sourceFile
}

// floor is the top-level folder of the package; empty for the root of the module.
func (p *sourcePackage) floor() string {
	top, _, _ := strings.Cut(p.folder, "/")
	return top
}

// sourceFile is a Go file, parsed with its comments.
type sourceFile struct {
	path      string // from the root of the module, with slashes
	isTest    bool
	generated bool
	syntax    *ast.File
}

// readTree parses every Go file below root but those that belong to other
// modules, to testdata, or to folders that git ignores.
func readTree(root string) (*sourceTree, error) {
	ignored, err := ignoredFolders(root)
	if err != nil {
		return nil, err
	}
	tree := &sourceTree{set: token.NewFileSet()}
	byFolder := map[string]*sourcePackage{}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			return enter(name, relative, ignored)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(tree.set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := path.Dir(relative)
		p := byFolder[folder]
		if p == nil {
			p = &sourcePackage{folder: folder}
			byFolder[folder] = p
			tree.packages = append(tree.packages, p)
		}
		p.files = append(p.files, &sourceFile{
			path: relative, isTest: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(syntax), syntax: syntax,
		})
		tree.files++
		return nil
	})
	slices.SortFunc(tree.packages, func(a, b *sourcePackage) int { return strings.Compare(a.folder, b.folder) })
	return tree, err
}

// enter decides whether the walk looks into a folder.
func enter(name, relative string, ignored []string) error {
	if relative == "." {
		return nil
	}
	base := path.Base(relative)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || slices.Contains(ignored, relative) {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return filepath.SkipDir // a module of its own
	}
	return nil
}

// ignoredFolders returns the folders that .gitignore names from the root.
func ignoredFolders(root string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var folders []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "/") && strings.HasSuffix(line, "/") {
			folders = append(folders, strings.Trim(line, "/"))
		}
	}
	return folders, nil
}

// wants returns the breaches that the comments of a fixture announce, in the
// form of breach.at.
func (tree *sourceTree) wants() []string {
	announced := regexp.MustCompile(`// want "([a-z-]+)"`)
	var wants []string
	for _, p := range tree.packages {
		for _, f := range p.files {
			for _, group := range f.syntax.Comments {
				for _, comment := range group.List {
					for _, match := range announced.FindAllStringSubmatch(comment.Text, -1) {
						wants = append(wants, fmt.Sprintf("%s:%d: %s", f.path, tree.line(comment), match[1]))
					}
				}
			}
		}
	}
	return wants
}

// line is the line on which a node begins.
func (tree *sourceTree) line(node ast.Node) int { return tree.set.Position(node.Pos()).Line }

// breach makes a breach at a node; the rule's name is filled in by check.
func (tree *sourceTree) breach(f *sourceFile, node ast.Node, subject, format string, args ...any) breach {
	return breach{file: f.path, line: tree.line(node), subject: subject, text: fmt.Sprintf(format, args...)}
}
