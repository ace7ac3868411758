package test

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// rule is one thing that source must or must not do.
type rule struct {
	name  string
	why   string
	check func(tree *sourceTree, p *sourcePackage) []breach
}

func rules() []rule {
	return []rule{
		{"folder", "the top-level folders are fixed: docs/decisions says why one would change", checkFolder},
		{"import", "imports only go down, and rooms of one floor meet through messages", checkImports},
		{"pure", "objects does no I/O", checkPure},
		{"disk", "mountpath/disk makes the only calls to the system's files, so that faults and crashes can be put there", checkDisk},
		{"doc", "a package opens with its story", checkDoc},
		{"name", "a file or package is one noun, in whole words", checkNames},
		{"init", "nothing happens before main: two nodes must fit in one process", checkInit},
		{"variable", "nothing lives at package level but constants, sentinel errors, tables and generated code", checkVariables},
		{"sleep", "a test waits for an event, never for a while", checkSleep},
		{"clock", "what time it is comes from a Clock that was passed in, so that faults and simulations can say it", checkClock},
		{"future", "an actor never blocks on an answer: it comes back as a message", checkFutures},
	}
}

func checkFolder(tree *sourceTree, p *sourcePackage) []breach {
	if _, known := floors()[p.floor()]; known {
		return nil
	}
	f := p.files[0]
	return []breach{tree.breach(f, f.syntax.Name, p.floor(), "Go code in the folder %q", p.floor())}
}

func checkImports(tree *sourceTree, p *sourcePackage) []breach {
	here, known := floors()[p.floor()]
	if !known {
		return nil // reported by checkFolder
	}
	return eachImport(p, func(f *sourceFile, spec *ast.ImportSpec, imported string) []breach {
		inside, ok := strings.CutPrefix(imported, modulePath+"/")
		if !ok {
			return nil
		}
		to, _, _ := strings.Cut(inside, "/")
		if to == p.floor() || slices.Contains(here.may, to) {
			return nil
		}
		return []breach{tree.breach(f, spec, inside, "%s imports %s; it is %s", p.floor(), inside, here.why)}
	})
}

// checkPure keeps operating system and network out of objects: what packages
// of the system say (errors, types, parsers) is vocabulary, what they do is not.
func checkPure(tree *sourceTree, p *sourcePackage) []breach {
	if p.floor() != "objects" {
		return nil
	}
	return systemCalls(tree, p)
}

// checkDisk finds calls to the system under mountpath outside of disk.
func checkDisk(tree *sourceTree, p *sourcePackage) []breach {
	if p.floor() != "mountpath" || p.folder == "mountpath/disk" || strings.HasPrefix(p.folder, "mountpath/disk/") {
		return nil
	}
	return systemCalls(tree, p)
}

// harmless are functions of the packages in systemPackages that neither touch a
// file nor the network.
func harmless() []string {
	return []string{
		"os.IsNotExist", "os.IsExist", "os.IsPermission", "os.NewSyscallError", "os.Getpid",
		"syscall.Errno", "golang.org/x/sys/unix.Errno",
		"net.ParseIP", "net.ParseCIDR", "net.SplitHostPort", "net.JoinHostPort",
	}
}

// systemPackages are the packages through which a program reaches the system.
func systemPackages() []string {
	return []string{"os", "io/ioutil", "syscall", "golang.org/x/sys/unix", "net", "net/http", "os/exec"}
}

// systemCalls finds calls of functions of systemPackages but the harmless ones.
func systemCalls(tree *sourceTree, p *sourcePackage) []breach {
	return eachNode(p, func(f *sourceFile, node ast.Node) []breach {
		call, ok := node.(*ast.CallExpr)
		if !ok || f.isTest {
			return nil
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		name, ok := selector.X.(*ast.Ident)
		if !ok {
			return nil
		}
		imported := importPath(f, name.Name)
		function := imported + "." + selector.Sel.Name
		if !slices.Contains(systemPackages(), imported) || slices.Contains(harmless(), function) {
			return nil
		}
		return []breach{tree.breach(f, call, function, "%s calls %s", p.folder, function)}
	})
}

func checkDoc(tree *sourceTree, p *sourcePackage) []breach {
	product := slices.ContainsFunc(p.files, func(f *sourceFile) bool { return !f.isTest })
	for _, f := range p.files {
		if f.isTest && product {
			continue // a comment in a test does not document the package
		}
		if f.syntax.Doc != nil && strings.TrimSpace(f.syntax.Doc.Text()) != "" {
			return nil
		}
	}
	f := p.files[0]
	return []breach{tree.breach(f, f.syntax.Name, f.syntax.Name.Name, "package %s has no comment", p.folder)}
}

func checkNames(tree *sourceTree, p *sourcePackage) []breach {
	forbidden := []string{"util", "utils", "common", "helper", "helpers", "misc"}
	var report []breach
	for i, f := range p.files {
		name := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.path), ".go"), "_test")
		if slices.Contains(forbidden, name) || i == 0 && slices.Contains(forbidden, path.Base(p.folder)) {
			report = append(report, tree.breach(f, f.syntax.Name, name, "%q says nothing", f.path))
		}
	}
	return report
}

func checkInit(tree *sourceTree, p *sourcePackage) []breach {
	var report []breach
	for _, f := range p.files {
		if f.generated {
			continue
		}
		for _, declaration := range f.syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if ok && function.Recv == nil && function.Name.Name == "init" {
				report = append(report, tree.breach(f, function, "init", "init()"))
			}
		}
	}
	return report
}

// checkVariables allows at package level, outside of tests:
//
//   - assertions that a type implements an interface: var _ I = T{}
//   - sentinel errors: names that begin with Err or err
//   - what go:embed fills
//   - tables, which Go has no constants for: literals, and what the functions
//     of immutable make, as long as no statement of the package changes them
func checkVariables(tree *sourceTree, p *sourcePackage) []breach {
	changed := changedNames(p)
	var report []breach
	for _, f := range p.files {
		if f.generated || f.isTest {
			continue
		}
		for _, declaration := range f.syntax.Decls {
			group, ok := declaration.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR {
				continue
			}
			for _, spec := range group.Specs {
				value := spec.(*ast.ValueSpec)
				for i, name := range value.Names {
					switch {
					case name.Name == "_" || embedded(group) || embedded(value):
					case changed[name.Name]:
						report = append(report, tree.breach(f, name, name.Name, "variable %s is changed", name.Name))
					case strings.HasPrefix(name.Name, "Err") || strings.HasPrefix(name.Name, "err"):
					case !name.IsExported() && i < len(value.Values) && isTable(f, value.Values[i]):
					default:
						report = append(report, tree.breach(f, name, name.Name, "variable %s", name.Name))
					}
				}
			}
		}
	}
	return report
}

// embedded says whether a declaration carries a go:embed directive.
func embedded(declaration ast.Node) bool {
	var doc *ast.CommentGroup
	switch declaration := declaration.(type) {
	case *ast.GenDecl:
		doc = declaration.Doc
	case *ast.ValueSpec:
		doc = declaration.Doc
	}
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// isTable says whether an expression makes a value that stays as it is: an
// array, slice or map literal, a conversion to bytes, a literal of those made by
// a function literal, or a call of one of the functions in immutable.
func isTable(f *sourceFile, value ast.Expr) bool {
	switch value := value.(type) {
	case *ast.CompositeLit:
		switch value.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			return true
		}
	case *ast.CallExpr:
		switch function := value.Fun.(type) {
		case *ast.ArrayType, *ast.FuncLit:
			return true
		case *ast.SelectorExpr:
			if name, ok := function.X.(*ast.Ident); ok {
				return slices.Contains(immutable(), importPath(f, name.Name)+"."+function.Sel.Name)
			}
		}
	}
	return false
}

// immutable are functions whose result cannot be changed by its holder.
func immutable() []string {
	return []string{
		"regexp.MustCompile",
		"strings.NewReplacer",
		"hash/crc32.MakeTable",
		"hash/crc64.MakeTable",
		"math/big.NewInt",
		"github.com/prometheus/client_golang/prometheus.NewDesc",
	}
}

// changedNames returns the names to which a statement of the package assigns,
// itself or a part of it. It goes by name alone: a local variable that hides a
// package variable and is assigned to counts, and gets another name.
func changedNames(p *sourcePackage) map[string]bool {
	changed := map[string]bool{}
	for _, f := range p.files {
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.AssignStmt:
				for _, left := range node.Lhs {
					if node.Tok != token.DEFINE {
						changed[root(left)] = true
					}
				}
			case *ast.IncDecStmt:
				changed[root(node.X)] = true
			case *ast.CallExpr:
				if name, ok := node.Fun.(*ast.Ident); ok && (name.Name == "delete" || name.Name == "clear") && len(node.Args) > 0 {
					changed[root(node.Args[0])] = true
				}
			}
			return true
		})
	}
	return changed
}

// root is the name at the bottom of a.b[c].d; empty for fields of receivers
// and parameters, whose root no package variable shares unless hidden.
func root(expression ast.Expr) string {
	for {
		switch e := expression.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			expression = e.X
		case *ast.IndexExpr:
			expression = e.X
		case *ast.StarExpr:
			expression = e.X
		case *ast.ParenExpr:
			expression = e.X
		case *ast.SliceExpr:
			expression = e.X
		default:
			return ""
		}
	}
}

// checkSleep finds time.Sleep in tests, but not where time is virtual: a sleep
// in a bubble of testing/synctest takes none.
func checkSleep(tree *sourceTree, p *sourcePackage) []breach {
	return eachNode(p, func(f *sourceFile, node ast.Node) []breach {
		use, ok := node.(*ast.SelectorExpr)
		if !ok || !f.isTest && p.floor() != "test" || imports(f, "testing/synctest") {
			return nil
		}
		if function, ok := selected(f, use, "time"); ok && function == "Sleep" {
			return []breach{tree.breach(f, use, "time.Sleep", "a test sleeps")}
		}
		return nil
	})
}

// checkClock finds uses of the global clock in what a node is made of.
func checkClock(tree *sourceTree, p *sourcePackage) []breach {
	if !slices.Contains([]string{"messages", "actors", "mountpath", "cluster", "httpedge", "supervisors"}, p.floor()) {
		return nil
	}
	global := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	return eachNode(p, func(f *sourceFile, node ast.Node) []breach {
		use, ok := node.(*ast.SelectorExpr)
		if !ok || f.isTest {
			return nil
		}
		function, ok := selected(f, use, "time")
		if !ok || !slices.Contains(global, function) {
			return nil
		}
		return []breach{tree.breach(f, use, "time", "%s uses time.%s", p.folder, function)}
	})
}

// checkFutures finds .Result() and .Wait() in methods of types that are actors:
// those with a method Receive of an actor.Context.
func checkFutures(tree *sourceTree, p *sourcePackage) []breach {
	actors := map[string]bool{}
	methods := func(do func(f *sourceFile, method *ast.FuncDecl, owner string)) {
		for _, f := range p.files {
			for _, declaration := range f.syntax.Decls {
				if method, ok := declaration.(*ast.FuncDecl); ok && method.Recv != nil && !f.isTest {
					do(f, method, root(receiverType(method)))
				}
			}
		}
	}
	methods(func(f *sourceFile, method *ast.FuncDecl, owner string) {
		parameters := method.Type.Params.List
		if method.Name.Name == "Receive" && len(parameters) == 1 {
			if name, ok := selected(f, parameters[0].Type, "github.com/asynkron/protoactor-go/actor"); ok && name == "Context" {
				actors[owner] = true
			}
		}
	})
	var report []breach
	methods(func(f *sourceFile, method *ast.FuncDecl, owner string) {
		if !actors[owner] {
			return
		}
		ast.Inspect(method, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) != 0 {
				return true
			}
			called, ok := call.Fun.(*ast.SelectorExpr)
			if ok && (called.Sel.Name == "Result" || called.Sel.Name == "Wait") {
				subject := owner + "." + method.Name.Name
				report = append(report, tree.breach(f, call, subject, "%s waits with .%s()", subject, called.Sel.Name))
			}
			return true
		})
	})
	return report
}

func receiverType(method *ast.FuncDecl) ast.Expr {
	if pointer, ok := method.Recv.List[0].Type.(*ast.StarExpr); ok {
		return pointer.X
	}
	return method.Recv.List[0].Type
}

// eachImport calls do for every import of a package.
func eachImport(p *sourcePackage, do func(f *sourceFile, spec *ast.ImportSpec, imported string) []breach) []breach {
	var report []breach
	for _, f := range p.files {
		for _, spec := range f.syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				panic(err) // the parser has read it
			}
			report = append(report, do(f, spec, imported)...)
		}
	}
	return report
}

// eachNode calls do for every node of every file of a package.
func eachNode(p *sourcePackage, do func(f *sourceFile, node ast.Node) []breach) []breach {
	var report []breach
	for _, f := range p.files {
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			report = append(report, do(f, node)...)
			return true
		})
	}
	return report
}

// selected returns the name that an expression selects from an imported
// package: "Open" for os.Open when the package is os.
func selected(f *sourceFile, expression ast.Expr, imported string) (string, bool) {
	selector, ok := expression.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	name, ok := selector.X.(*ast.Ident)
	return selector.Sel.Name, ok && importPath(f, name.Name) == imported
}

// imports says whether a file imports a package.
func imports(f *sourceFile, wanted string) bool {
	return slices.ContainsFunc(f.syntax.Imports, func(spec *ast.ImportSpec) bool { return spec.Path.Value == strconv.Quote(wanted) })
}

// importPath is what a file imports under a name; empty when it imports nothing so.
func importPath(f *sourceFile, name string) string {
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has read it
		}
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && path.Base(imported) == name {
			return imported
		}
	}
	return ""
}
