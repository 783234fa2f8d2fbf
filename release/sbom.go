package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// boms writes a bill of materials for each binary.
func (r *release) boms() error {
	for _, t := range r.targets {
		for _, program := range programs {
			path := filepath.Join(r.dist, t.binary(program))
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			info, err := buildinfo.ReadFile(path)
			if err != nil {
				return err
			}
			purl := "pkg:golang/usher@" + r.version + "#cmd/" + program
			subject := r.component(cdx.ComponentTypeApplication, program, purl, sha256.Sum256(content))
			properties := []cdx.Property{{Name: "file", Value: t.binary(program)}}
			for _, s := range info.Settings {
				properties = append(properties, cdx.Property{Name: "go:" + s.Key, Value: s.Value})
			}
			subject.Properties = &properties
			if err := r.bom(t.binary(program)+".cdx.json", subject, linked(info)); err != nil {
				return err
			}
		}
	}
	return nil
}

// component is a part of this release.
func (r *release) component(kind cdx.ComponentType, name, purl string, sum [32]byte) cdx.Component {
	c := cdx.Component{
		BOMRef:     purl,
		Type:       kind,
		Name:       name,
		Version:    r.version,
		PackageURL: purl,
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sum)}},
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: licenseID}}},
	}
	if r.url != "" {
		c.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: r.url}}
	}
	return c
}

// linked are the modules that a binary is made of, Go's standard library as
// scanners name it.
func linked(info *buildinfo.BuildInfo) []cdx.Component {
	release, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), "-X:") // an experiment
	release, _, _ = strings.Cut(release, " ")
	modules := []cdx.Component{library("stdlib", "v"+release, "pkg:golang/stdlib@v"+release)}
	for _, dep := range info.Deps {
		modules = append(modules, library(dep.Path, dep.Version, "pkg:golang/"+dep.Path+"@"+dep.Version))
	}
	return modules
}

func library(name, version, purl string) cdx.Component {
	return cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: name, Version: version, PackageURL: purl}
}

// bom writes a bill of subject and its parts.
func (r *release) bom(file string, subject cdx.Component, parts []cdx.Component) error {
	byRef := map[string]cdx.Component{}
	for _, part := range parts {
		byRef[part.BOMRef] = part
	}
	refs := slices.Sorted(maps.Keys(byRef))
	parts = nil
	for _, ref := range refs {
		parts = append(parts, byRef[ref])
	}
	bill := cdx.NewBOM()
	id := sha256.Sum256([]byte(file + " " + r.version + " " + (*subject.Hashes)[0].Value))
	bill.SerialNumber = uuid(id)
	bill.Metadata = &cdx.Metadata{Timestamp: r.time.Format(time.RFC3339), Component: &subject}
	bill.Components = &parts
	bill.Dependencies = &[]cdx.Dependency{{Ref: subject.BOMRef, Dependencies: &refs}}
	var b bytes.Buffer
	encoder := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(bill, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return r.file(file, b.Bytes(), 0o644)
}

// uuid is made of a hash (RFC 9562, version 8).
func uuid(id [32]byte) string {
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
