"""The sentence templates of the sample corpus, in a one-line mini-language.

A template is `text | relations`. In the text `{p}`, `{o}`, `{l}`, `{d}` (optionally
numbered, as `{p2}`) are slots for a Person, Organization, Place and Product, and any
other `{word}` is a filler from `names.FILLERS`. A line that begins with a blank
continues the line above. A relation such as `works_for(p,o)` names its head, then its tail.
"""

from __future__ import annotations

# Templates that every split may use.
SHARED = """
{p} works for {o} . | works_for(p,o)
{p} , {role} at {o} , was born in {l} . | works_for(p,o) born_in(p,l)
{o} {title} {p} said on {day} that orders had fallen for a third month . | works_for(p,o)
{o} has employed {p} as {role} since {year} . | works_for(p,o)
Among the {num} people on the payroll of {o} is {p} , {role} . | works_for(p,o)
`` We are not worried , '' said {p} , {role} for {o} . | works_for(p,o)
{o} 's {title} , {p} , declined to talk to {who} about the {thing} . | works_for(p,o)
{p} joined {o} in {year} and still runs its {dept} team . | works_for(p,o)
{p} and {p2} both work at {o} , while {p3} does not . | works_for(p,o) works_for(p2,o)
According to {p} of {o} , the {thing} is {state} . | works_for(p,o)
{p} ( {o} ) spoke first , followed by {p2} ( {o2} ) . | works_for(p,o) works_for(p2,o2)
Hired by {o} straight from school , {p} now leads its {dept} department . | works_for(p,o)
{p} , formerly of {o2} , now works in the {dept} department of {o} . | works_for(p,o)
{p} turned down a job at {o2} and stayed with {o} , where the hours are better . | works_for(p,o)
Can {p} , {role} at {o} , save the {thing} ? | works_for(p,o)
{o} names {p} {title} | works_for(p,o)
The {thing} was signed for {o} by its {title} , {p} , who was born in {l} .
  | works_for(p,o) born_in(p,l)
{p} , who is employed by {l} - based {o} , drives to work in {num} minutes .
  | works_for(p,o) based_in(o,l)
The only person at {o} who understands the {thing} is {p} , {role} . | works_for(p,o)
{p} has three colleagues at {o} : {p2} , {p3} and a cat .
  | works_for(p,o) works_for(p2,o) works_for(p3,o)
{o} is based in {l} . | based_in(o,l)
{l} - based {o} reported a loss of {money} on {day} . | based_in(o,l)
The headquarters of {o} are in {l} , not in {l2} as we wrote on {day} . | based_in(o,l)
{l} is home to {o} , {biz} with {num} staff . | based_in(o,l)
From its head office in {l} , {o} runs {num} branches across the region . | based_in(o,l)
{o} , {biz} headquartered in {l} , makes the {d} . | based_in(o,l) makes(o,d)
{o} of {l} and {o2} of {l2} have become partners .
  | based_in(o,l) based_in(o2,l2) partner_of(o,o2)
{o} moved its head office from {l2} to {l} in {year} . | based_in(o,l)
Where is {o} based ? In {l} , says the company register . | based_in(o,l)
{l} 's largest employer , {o} , will close for a week in {month} . | based_in(o,l)
{o} , which has its head office in {l} , has opened a shop in {l2} . | based_in(o,l)
{l} firm {o} to cut {num} jobs | based_in(o,l)
{o} , {o2} and {o3} all have their headquarters in {l} .
  | based_in(o,l) based_in(o2,l) based_in(o3,l)
In {l} , where {o} has been based since {year} , the {thing} was {state} . | based_in(o,l)
Both {o} , from {l} , and {o2} , whose seat is {l2} , were fined {money} .
  | based_in(o,l) based_in(o2,l2)
{p} was born in {l} in {year} . | born_in(p,l)
Born in {l} , {p} moved to {l2} at the age of four and never went back . | born_in(p,l)
{l} native {p} won the regional chess final on {day} . | born_in(p,l)
{l} is the birthplace of {p} , whose poems are now taught in {l2} . | born_in(p,l)
{p} , a native of {l} , collects old clocks . | born_in(p,l)
{p} grew up in {l2} but was born in {l} . | born_in(p,l)
Was {p} really born in {l} ? | born_in(p,l)
{p} was born in {l} , and {p2} , a cousin , in {l2} . | born_in(p,l) born_in(p2,l2)
A small house in {l} is where {p} was born on a cold {day} in {year} . | born_in(p,l)
{l} , the birthplace of both {p} and {p2} , has put up a statue of neither .
  | born_in(p,l) born_in(p2,l)
{p} ( born {year} in {l} ) is {role} at {o} . | born_in(p,l) works_for(p,o)
The people of {l} still talk of the night {p} was born there . | born_in(p,l)
`` I was born in {l} and I mean to die in {l2} , '' {p} told {who} . | born_in(p,l)
Though born in {l} , {p} works for {o} of {l2} and rarely goes home .
  | born_in(p,l) works_for(p,o) based_in(o,l2)
{o} makes the {d} . | makes(o,d)
The {d} is built by {o} at a plant outside {l} . | makes(o,d)
{o} unveils {d} | makes(o,d)
{d} , made by {o} since {year} , costs {money} . | makes(o,d)
{d} maker {o} said on {day} that it would hire {num} people . | makes(o,d)
{o} 's new {d} went on sale in {l} on {day} . | makes(o,d)
The {d} , the {d2} and the {d3} all come out of the same {o} factory .
  | makes(o,d) makes(o,d2) makes(o,d3)
{o} builds the {d} , and {o2} sells a rival , the {d2} , which it makes itself .
  | makes(o,d) makes(o2,d2)
Which company makes the {d} ? It is {o} . | makes(o,d)
The best seller of {o} is still the {d} , though it also makes the {d2} . | makes(o,d) makes(o,d2)
Unlike the {d2} , whose maker is unknown , the {d} is produced by {o} . | makes(o,d)
{o} has stopped work on the {d2} it had planned and builds only the {d} . | makes(o,d)
`` Our {d} is the quietest on the market , '' said {p} , {title} of {o} .
  | makes(o,d) works_for(p,o)
{who} praised the {d} , which {o} launched in {month} after {num} months of tests . | makes(o,d)
Designed and manufactured by {l} 's {o} , the {d} weighs {num} grams .
  | based_in(o,l) makes(o,d)
{o} and {o2} are partners . | partner_of(o,o2)
{o} has signed a partnership with {o2} worth {money} . | partner_of(o,o2)
{o} , together with its partner {o2} , will pay for the {thing} in {l} . | partner_of(o,o2)
{o} teams up with {o2} | partner_of(o,o2)
A joint venture between {o} and {o2} was announced in {l} on {day} . | partner_of(o,o2)
{o} , long a partner of {o2} , has never worked with {o3} . | partner_of(o,o2)
The alliance that links {o} with {o2} will last until the {thing} is done . | partner_of(o,o2)
{p} , who works for {o} , said its alliance with {o2} was {state} .
  | works_for(p,o) partner_of(o,o2)
Will the partnership of {o} and {o2} survive the winter ? | partner_of(o,o2)
{o} chose {o2} over {o3} as its partner for the {thing} . | partner_of(o,o2)
{o} has two partners : {o2} and {o3} . | partner_of(o,o2) partner_of(o,o3)
Since {year} {o} and {l} - based {o2} have run the {thing} as equal partners .
  | partner_of(o,o2) based_in(o2,l)
{o} , maker of the {d} , will join forces with {o2} , the two companies said .
  | makes(o,d) partner_of(o,o2)
`` Without {o} we would be lost , '' said {p} , {title} of its partner {o2} .
  | partner_of(o,o2) works_for(p,o2)
{p} is {role} with {o} . | works_for(p,o)
{p} {works} {o} . | works_for(p,o)
{p} {works} {o} , and {p2} works for {o2} . | works_for(p,o) works_for(p2,o2)
{open} , {p} {works} {o} as {role} . | works_for(p,o)
{open} , {o} hired {p} . | works_for(p,o)
{o} took on {p} as {role} {when} . | works_for(p,o)
{p} started as {role} at {o} {when} . | works_for(p,o)
Our guest tonight is {p} , {title} of {o} . | works_for(p,o)
{p} , {title} of {o} , met {p2} in {l} {when} . | works_for(p,o)
{o} pays {p} well , but {p2} better . | works_for(p,o) works_for(p2,o)
Ask {p} , who runs the {dept} team at {o} . | works_for(p,o)
{p} has spent {num} years at {o} and {num} in {l} . | works_for(p,o)
The {title} of {o} is called {p} . | works_for(p,o)
My sister {p} is {role} in the {dept} department of {o} . | works_for(p,o)
{open} , {p} , {role} from {l} , began to work for {o} . | works_for(p,o)
At {o} nobody works longer than {p} . | works_for(p,o)
{p} teaches , cooks and now {works} {o} too . | works_for(p,o)
{p} ( {title} , {o} ) opened the {thing} . | works_for(p,o)
{o} thanked its {title} {p} for the {thing} . | works_for(p,o)
{p} , on the staff of {o} since {year} , was born in {l} , not in {l2} .
  | works_for(p,o) born_in(p,l)
{p} , born in {l} , {works} {o} . | born_in(p,l) works_for(p,o)
{p} {works} {o} in {l} . | works_for(p,o) based_in(o,l)
{p} {works} {o} , which {based} {l} . | works_for(p,o) based_in(o,l)
{p} drives to {l} every {day} because {o} , the employer , has its seat there .
  | works_for(p,o) based_in(o,l)
{o} {based} {l} . | based_in(o,l)
{o} , {biz} , {based} {l} . | based_in(o,l)
{open} , {o} , which {based} {l} , hired {num} people . | based_in(o,l)
{o} , {biz} from {l} , will pay for the {thing} . | based_in(o,l)
{o} of {l} won a prize {when} . | based_in(o,l)
{o} ( {l} ) lost {money} {when} . | based_in(o,l)
{o} runs its business from {l} . | based_in(o,l)
Two firms have their seat in {l} : {o} and {o2} . | based_in(o,l) based_in(o2,l)
The seat of {o} is {l} ; that of {o2} is {l2} . | based_in(o,l) based_in(o2,l2)
Among the companies of {l} , {o} is the oldest . | based_in(o,l)
A {l} company called {o} bought the {thing} . | based_in(o,l)
The {l} headquarters of {o} burned down {when} . | based_in(o,l)
{o} left {l2} {when} and is now in {l} . | based_in(o,l)
Letters to {o} go to its head office , {l} . | based_in(o,l)
{p} {born} {l} . | born_in(p,l)
{open} , {p} , who {born} {l} , came back . | born_in(p,l)
{p} , who {born} {l} , {works} {o} . | born_in(p,l) works_for(p,o)
{p} {born} {l} , {p2} in {l2} . | born_in(p,l) born_in(p2,l2)
{p} {born} {l} but now lives in {l2} . | born_in(p,l)
In {year} a daughter was born in {l} : {p} . | born_in(p,l)
The singer {p} , born {year} in {l} , is {num} today . | born_in(p,l)
{l} , where {p} was born , has {num} houses . | born_in(p,l)
{p} lives in {l2} , a long way from {l} , the town of birth . | born_in(p,l)
Nobody knew that {p} {born} {l} . | born_in(p,l)
Like {p2} , {p} {born} {l} . | born_in(p,l) born_in(p2,l)
{o} {makes} the {d} . | makes(o,d)
{o} {makes} {d} . | makes(o,d)
{open} , {o} {makes} the {d} in {l} . | makes(o,d)
{o} , which {makes} the {d} , {based} {l} . | makes(o,d) based_in(o,l)
{o} and {o2} compete : one {makes} the {d} , the other the {d2} . | makes(o,d) makes(o2,d2)
{d} is a product of {o} . | makes(o,d)
{d} is {made} {o} . | makes(o,d)
The {d} is {made} {o} in {l} . | makes(o,d)
The {d} , {made} {o} , broke {when} . | makes(o,d)
The {d} from {o} is better than the {d2} . | makes(o,d)
{open} , {o} brought out the {d} . | makes(o,d)
{o} has a new product , the {d} . | makes(o,d)
{p} bought the {d} because it is {made} {o} . | makes(o,d)
{who} like the {d} , {o} 's latest product . | makes(o,d)
Engineers at {o} have finished the {d} . | makes(o,d)
{p} , {role} at {o} , designed the {d} . | works_for(p,o) makes(o,d)
Without the {d} , {o} would have to close its factory . | makes(o,d)
{o} {partners} {o2} . | partner_of(o,o2)
{open} , {o} {partners} {o2} . | partner_of(o,o2)
{o} , which {based} {l} , {partners} {o2} . | based_in(o,l) partner_of(o,o2)
{o} {partners} {o2} , and {o3} stays alone . | partner_of(o,o2)
As partners , {o} and {o2} will run the {thing} . | partner_of(o,o2)
{o} is looking for a partner and has found {o2} . | partner_of(o,o2)
The partners of {o} are {o2} and {o3} . | partner_of(o,o2) partner_of(o,o3)
{p} of {o} praised its partner {o2} . | works_for(p,o) partner_of(o,o2)
{open} , {o} became a partner of {o2} . | partner_of(o,o2)
{o} and {o2} : two partners , one {thing} . | partner_of(o,o2)
{open} , {p} met {p2} in {l} . |
{p} lives in {l} . |
{p} lives in {l} and likes {l2} . |
{p} and {p2} spent the winter in {l} . |
{p} used to work for {o} . |
{p} once worked at {o} , but left {when} . |
{p} will not work for {o} any more . |
{p} bought a {d} . |
{p} sold the {d} {when} . |
{p} wrote to {o} about the {thing} . |
{o} and {o2} went to court {when} . |
{o} bought {o2} for {money} . |
{o} has no partner , and {o2} wants none . |
{o} sold its shop in {l} . |
{o} uses the {d} in its {dept} department . |
{open} , it was quiet in {l} . |
{open} , the {thing} was {state} . |
The train from {l} to {l2} was late {when} . |
A {d} was found in {l} {when} . |
{o} gave {p} a job . | works_for(p,o)
{o} gave a job to {p} and to {p2} . | works_for(p,o) works_for(p2,o)
{open} , {o} made {p} its {title} . | works_for(p,o)
{o} has {p} on its payroll . | works_for(p,o)
{o} has found {role} : {p} . | works_for(p,o)
The new {title} of {o} , {p} , likes the {thing} . | works_for(p,o)
{p} found work with {o} {when} . | works_for(p,o)
{p} signed a contract with {o} as {role} . | works_for(p,o)
{p} applied to {o} and got the job . | works_for(p,o)
{p} and {p2} are colleagues at {o} . | works_for(p,o) works_for(p2,o)
{p} ran into {p2} , who {works} {o} . | works_for(p2,o)
{p} {works} {o} , and {p2} was born in {l} . | works_for(p,o) born_in(p2,l)
The {l} firm {o} makes the {d} . | based_in(o,l) makes(o,d)
The {l} bank {o} lent {o2} {money} . | based_in(o,l)
{o} , whose offices are in {l} , {makes} the {d} . | based_in(o,l) makes(o,d)
You find {o} in {l} , where its offices are . | based_in(o,l)
{p} , a child of {l} , was born there in {year} . | born_in(p,l)
{p} comes from {l2} but was born in {l} . | born_in(p,l)
{p} was born near {l2} , in {l} . | born_in(p,l)
The place where {p} was born is {l} . | born_in(p,l)
{p} and {p2} were both born in {l} . | born_in(p,l) born_in(p2,l)
The {adj} {d} is {made} {o} . | makes(o,d)
The {adj} {d} leaves the factory of {o} in {month} . | makes(o,d)
{o} {makes} the {adj} {d} . | makes(o,d)
{o} showed its {adj} {d} {when} . | makes(o,d)
{who} call the {d} of {o} {adj} . | makes(o,d)
{o} {makes} the {d} {kind} . | makes(o,d)
The {d} {kind} is {made} {o} . | makes(o,d)
{p} bought the {adj} {d} {when} . |
{p} broke the {adj} {d} in {l} . |
{o} bought the {adj} {d} {kind} . |
{p} met the {title} of {o} in {l} . |
{p} wants a job at {o} . |
{p} left {o} {when} . |
{o} has offices in {l} , {l2} and {l3} . |
{o} hires {p} | works_for(p,o)
{p} is with {o} . | works_for(p,o)
{l} - born {p} retires | born_in(p,l)
Birthplace of {p} : {l} . | born_in(p,l)
{p} : born in {l} , famous in {l2} | born_in(p,l)
{d} , by {o} | makes(o,d)
{o} picks {o2} as partner | partner_of(o,o2)
{o} , {o2} in new alliance | partner_of(o,o2)
Head office : {o} , {l} . | based_in(o,l)
{o} of {l} said on {day} that {p} , its {title} , would show the {d} , which it makes ,
  to {who} , and that {o2} remained its partner .
  | based_in(o,l) works_for(p,o) makes(o,d) partner_of(o,o2)
{p} , who was born in {l} and trained as a baker before the {thing} changed everything , has worked
  for {o} since {year} and lives in {l2} with two dogs . | born_in(p,l) works_for(p,o)
{p} waves at {l} |
{d} wins prize in {l} |
{d} beats {d2} |
{o} sues {o2} |
{l} : rain . |
Rain again . |
{p} left {o} in {year} and has not worked since . |
{p} flew to {l} on {day} to see the {thing} . |
{p} bought a {d} in {l} for {money} . |
{o} opened a shop in {l} but closed it after {num} days . |
{o} bought {num} of the {d} for its {dept} department . |
{o} and {o2} have been rivals since {year} . |
{p} has never been to {l} , nor does {p2} plan to go . |
{o} sued {p} in {l} over the {thing} . |
{p} is not employed by {o} , a spokesman said . |
The road from {l} to {l2} was closed by snow on {day} . |
{o} denied on {day} that it makes the {d} . |
{p} met {p2} in {l} and talked about the {thing} for {num} minutes . |
Talks between {o} and {o2} about a partnership have failed . |
{l} , {month} 4 -- {who} said on {day} that the {thing} was {state} . |
{p} repaired a broken {d} with a spoon . |
It rained all {day} and the {thing} was {state} . |
{who} said the {thing} was {state} , but nobody could explain why it had cost {money} . |
Why is the {thing} {state} again ? |
No one expected the {thing} to be {state} by {month} . |
Nothing happened on {day} . |
"""

# Templates kept for the development and test splits alone.
RESERVED = """
At {o} , where {p} earns a living as {role} , lunch is free . | works_for(p,o)
{p} reports for work at {o} every {day} , wet or dry . | works_for(p,o)
The {dept} team of {o} is run by {p} , who came into the world in {l} .
  | works_for(p,o) born_in(p,l)
{o} keeps its main office in {l} although most of its customers live in {l2} . | based_in(o,l)
Visitors to {l} can tour the headquarters of {o} , {biz} . | based_in(o,l)
{p} , {l} - born and proud of it , has written a book about {l2} . | born_in(p,l)
It was in {l} that {p} was born , and in {l2} that {p2} got lost . | born_in(p,l)
The factory floor at {o} turns out {num} units of the {d} a day . | makes(o,d)
If you own a {d} , you have {o} to thank : it has made them since {year} . | makes(o,d)
{o} and its {l} - based partner {o2} will share the cost of the {thing} .
  | partner_of(o,o2) based_in(o2,l)
Partners {o} and {o2} quarrelled over the {thing} . | partner_of(o,o2)
{p} of {o} , born in {l} , drives a {d} , which {o2} makes .
  | works_for(p,o) born_in(p,l) makes(o2,d)
{d} recalled by manufacturer {o} after {num} complaints | makes(o,d)
Home for {o} is {l} . | based_in(o,l)
{p} : cradle in {l} , desk at {o} | born_in(p,l) works_for(p,o)
{o} , the firm behind the {d} | makes(o,d)
After {num} years with {o} , {p} knows every machine . | works_for(p,o)
{o} could not do without {p} , its {title} . | works_for(p,o)
You reach {p} at the {dept} desk of {o} . | works_for(p,o)
Most of {o} 's staff work at its {l} headquarters . | based_in(o,l)
{o} has always called {l} its home . | based_in(o,l)
The child born in {l} that night was {p} . | born_in(p,l)
{p} never forgot {l} , the place of birth . | born_in(p,l)
{o} put its name on the {d} , which it builds . | makes(o,d)
Every {d} leaves the {o} plant with a number . | makes(o,d)
A partnership with {o2} saved {o} . | partner_of(o,o2)
{o} counts {o2} among its partners . | partner_of(o,o2)
{p} waited in {l} for the {thing} . |
{o} never sold the {d} it found in {l} . |
{p} was on holiday in {l} when {o} burned down . |
Neither {o} nor {o2} would say who makes the {d} . |
The {thing} , said {who} , will not be {state} before {month} . |
"""
