// Check a log of ours with the Go project's own packages for such logs, and nothing of ours:
//
//	tlog inclusion VKEY PROOF ENTRY    a .tlog-proof, and the file of the entry it is of
//	tlog consistency VKEY OLD REQUEST  an old checkpoint, and an add-checkpoint request from there
//	tlog tiles VKEY FOLDER             a whole log: every entry, by hash tiles, up to the root
//
// Exits 0 where everything holds, 1 with a sentence otherwise.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// In both of our files lines stand above a blank one, and a checkpoint below it.
const height = 8

func main() {
	if len(os.Args) < 4 {
		fail("usage: tlog inclusion|consistency|tiles VKEY FILE [FILE]")
	}
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)
	switch os.Args[1] {
	case "inclusion":
		lines, tree := split(read(os.Args[3]), verifier)
		if lines[0] != "c2sp.org/tlog-proof@v1" {
			fail("no proof")
		}
		leaf := tlog.RecordHash([]byte(read(os.Args[4])))
		must(tlog.CheckRecord(hashes(lines[2:]), tree.N, tree.Hash, number(lines[1], "index "), leaf))
	case "consistency":
		old := checkpoint(read(os.Args[3]), verifier)
		lines, tree := split(read(os.Args[4]), verifier)
		if number(lines[0], "old ") != old.N {
			fail("the request starts elsewhere")
		}
		must(tlog.CheckTree(hashes(lines[1:]), tree.N, tree.Hash, old.N, old.Hash))
	case "tiles":
		folder := folder(os.Args[3])
		folder.check(checkpoint(read(filepath.Join(os.Args[3], "checkpoint")), verifier))
	default:
		fail("no such check")
	}
	fmt.Println("OK")
}

// split returns the lines above the blank one and the checkpoint below it.
func split(text string, verifier note.Verifier) ([]string, tlog.Tree) {
	head, below, found := strings.Cut(text, "\n\n")
	if !found {
		fail("no checkpoint")
	}
	return strings.Split(head, "\n"), checkpoint(below, verifier)
}

// checkpoint returns the tree that the log's key signed.
func checkpoint(text string, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		fail("no checkpoint of this log")
	}
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: number(lines[1], ""), Hash: root}
}

// folder is a log as static files.
type folder string

func (folder) Height() int { return height }

func (folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		// The Go project's paths begin with the height, which c2sp.org/tlog-tiles leaves out.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		content, err := os.ReadFile(filepath.Join(string(f), path))
		if err != nil {
			return nil, err
		}
		found = append(found, content)
	}
	return found, nil
}

// check reads every entry and compares it with the hash that the tiles prove.
func (f folder) check(tree tlog.Tree) {
	proven := tlog.TileHashReader(tree, f)
	for first := int64(0); first < tree.N; first += 1 << height {
		bundle := tlog.Tile{H: height, L: 0, N: first >> height, W: 1 << height}
		if first+int64(bundle.W) > tree.N {
			bundle.W = int(tree.N - first)
		}
		path := strings.Replace(bundle.Path(), "tile/8/0/", "tile/entries/", 1)
		content := []byte(read(filepath.Join(string(f), path)))
		for at := first; at < first+int64(bundle.W); at++ {
			if len(content) < 2 || len(content) < 2+int(binary.BigEndian.Uint16(content)) {
				fail("a bundle ends early")
			}
			end := 2 + int(binary.BigEndian.Uint16(content))
			hashes, err := proven.ReadHashes([]int64{tlog.StoredHashIndex(0, at)})
			must(err)
			if hashes[0] != tlog.RecordHash(content[2:end]) {
				fail("an entry is not the one that the log has")
			}
			content = content[end:]
		}
		if len(content) > 0 {
			fail("a bundle has more than its entries")
		}
	}
}

func hashes(lines []string) []tlog.Hash {
	var found []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		must(err)
		found = append(found, hash)
	}
	return found
}

func number(line, word string) int64 {
	found, err := strconv.ParseInt(strings.TrimPrefix(line, word), 10, 64)
	must(err)
	return found
}

func read(path string) string {
	content, err := os.ReadFile(path)
	must(err)
	return string(content)
}

func must(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
