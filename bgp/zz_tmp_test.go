package bgp_test
import ("testing";"fmt";"sort";"github.com/ribtap/ribtap/bgp";"strings")
func TestZZ(t *testing.T){
 cnt:=map[string]int{}; ex:=map[string]string{}
 fam:=map[string]int{}
 for _,m:=range append(corpusUpdates(t), mrtUpdates(t)...) {
  var u bgp.Update
  kind:="bgp"; if strings.HasSuffix(m.file,".bmp"){kind="bmp"} else if !strings.HasSuffix(m.file,".bgp"){kind="mrt"}
  u.Parse(m.msg, bgp.Session{AS4:m.as4})
  if len(u.Findings())==0 {cnt[kind+" ok"]++}
  for _,f:=range u.Findings() { k:=fmt.Sprintf("%s %v attr=%d %s",kind,f.Verdict,f.Attr,f.Reason); cnt[k]++; if ex[k]=="" {ex[k]=fmt.Sprintf("%s %d % x",m.file,len(m.msg),m.msg)} }
  for it:=u.Routes();it.Next(); { fam[kind+" "+it.Route().NLRI.Family.String()]++ }
 }
 var ks []string; for k:=range cnt {ks=append(ks,k)}; sort.Strings(ks)
 for _,k:=range ks { e:=ex[k]; if len(e)>500 {e=e[:500]}; fmt.Println(cnt[k],k,e) }
 fmt.Println(fam)
}
